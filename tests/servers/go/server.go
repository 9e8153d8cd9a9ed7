// Go's net/http: server PORT
package main

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// RFC 6455 section 1.3.
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func main() {
	http.HandleFunc("/", fast)
	http.HandleFunc("/slow/", slow)
	http.HandleFunc("/stream/", stream)
	http.HandleFunc("/upload", upload)
	http.HandleFunc("/ws", websocket)
	log.Fatal(http.ListenAndServe(":"+os.Args[1], nil))
}

// The word at that place of the path, as a number.
func number(request *http.Request, place int) int {
	value, err := strconv.Atoi(strings.Split(request.URL.Path, "/")[place])
	if err != nil {
		panic(err)
	}
	return value
}

func pause(request *http.Request, place int) {
	time.Sleep(time.Duration(number(request, place)) * time.Millisecond)
}

func fast(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("x-app", "real")
	fmt.Fprintln(response, "real")
}

func slow(response http.ResponseWriter, request *http.Request) {
	pause(request, 2)
	fast(response, request)
}

func stream(response http.ResponseWriter, request *http.Request) {
	response.Header().Set("x-app", "real")
	for chunk := number(request, 2); chunk > 0; chunk-- {
		pause(request, 3)
		fmt.Fprintln(response, "chunk")
		response.(http.Flusher).Flush()
	}
}

func upload(response http.ResponseWriter, request *http.Request) {
	length, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	response.Header().Set("x-app", "real")
	fmt.Fprintln(response, "received", length)
}

// The handshake, then an echo of bytes.
func websocket(response http.ResponseWriter, request *http.Request) {
	digest := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + guid))
	connection, buffered, err := response.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nx-app: real\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(digest[:]))
	io.Copy(connection, buffered)
}
