import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** com.sun.net.httpserver: Server PORT */
final class Server {
    public static void main(String[] args) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(args[0])), 1024);
        server.createContext("/", Server::answer);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
    }

    private static void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            exchange.getResponseHeaders().set("x-app", "real");
            String[] words = exchange.getRequestURI().getPath().split("/");
            switch (words.length > 1 ? words[1] : "") {
                case "stream" -> stream(exchange, Integer.parseInt(words[2]), Integer.parseInt(words[3]));
                case "upload" ->
                    text(exchange, "received " + exchange.getRequestBody().readAllBytes().length + "\n");
                case "slow" -> {
                    Thread.sleep(Integer.parseInt(words[2]));
                    text(exchange, "real\n");
                }
                default -> text(exchange, "real\n");
            }
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    private static void text(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.US_ASCII);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }

    private static void stream(HttpExchange exchange, int chunks, int milliseconds)
            throws IOException, InterruptedException {
        // No length: chunked.
        exchange.sendResponseHeaders(200, 0);
        for (int chunk = 0; chunk < chunks; chunk++) {
            Thread.sleep(milliseconds);
            exchange.getResponseBody().write("chunk\n".getBytes(StandardCharsets.US_ASCII));
            exchange.getResponseBody().flush();
        }
    }
}
