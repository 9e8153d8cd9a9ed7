"""http.server that is late: it sleeps after each answer, and before it closes at the end of its input.
late.py PORT MS-AFTER-AN-ANSWER MS-BEFORE-IT-CLOSES"""

import sys
import time

import threads

AFTER_ANSWER, BEFORE_CLOSE = (int(text) / 1000 for text in sys.argv[2:4])


class Handler(threads.Handler):
    def handle(self):
        super().handle()
        time.sleep(BEFORE_CLOSE)

    def handle_one_request(self):
        super().handle_one_request()
        if not self.close_connection:
            time.sleep(AFTER_ANSWER)


# What is unread then makes a reset of it, as it does with most servers.
threads.Server.shutdown_request = threads.Server.close_request
threads.serve(Handler)
