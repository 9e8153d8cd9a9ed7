import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** java.net.http, a client for each connection; lines as in python/loop.py: Client URL CONNECTIONS PAUSE_MS */
final class Client {
    private static volatile boolean stop;

    public static void main(String[] args) throws Exception {
        HttpRequest request =
                HttpRequest.newBuilder(URI.create(args[0])).timeout(Duration.ofSeconds(10)).build();
        int pause = Integer.parseInt(args[2]);
        List<Thread> threads = new ArrayList<>();
        for (int i = Integer.parseInt(args[1]); i > 0; i--) {
            Thread thread = new Thread(() -> requests(request, pause));
            thread.start();
            threads.add(thread);
        }
        while (System.in.read() >= 0) {}
        stop = true;
        for (Thread thread : threads) {
            thread.join();
        }
        // Threads of the clients themselves would go on.
        System.exit(0);
    }

    private static void requests(HttpRequest request, int pause) {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        try {
            while (!stop) {
                String line = ask(client, request);
                synchronized (System.out) {
                    System.out.println(line);
                    System.out.flush();
                }
                Thread.sleep(pause);
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String ask(HttpClient client, HttpRequest request) throws InterruptedException {
        try {
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.headers().firstValue("x-httpfault").isPresent()) {
                return "fault";
            }
            boolean real = answer.headers().firstValue("x-app").isPresent() && answer.statusCode() == 200;
            return real ? "real" : "lost status " + answer.statusCode();
        } catch (IOException e) {
            String text = String.valueOf(e.getMessage());
            if (text.contains("header parser received no bytes")) {
                return "closed";
            }
            boolean cut = text.contains("fixed content-length") || text.contains("chunked transfer encoding");
            return (cut ? "cut " : "lost ") + text;
        }
    }
}
