"""Receivers to copy: small programs that verify a call with the secret from WEBHOOK_SECRET, and run as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One program; `needs` is what must be installed before, empty for nothing; `run` starts it."""

    name: str
    file: str
    needs: str
    run: str
    code: str


_PYTHON: Final = """\
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secret = os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_")
if not secret:  # anybody can sign with an empty key
    sys.exit("WEBHOOK_SECRET is empty: set it to the webhook's secret.")
webhook = Webhook(secret)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers.get("Content-Length", "")  # calls say their length
        if not length.isdecimal() or int(length) > 4 << 20:
            self.answer(413)
            return
        body = self.rfile.read(int(length))  # the raw bytes are what is signed
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):  # some malformed calls raise the second
            self.answer(401)
            return
        # A call may come twice: remember headers["webhook-id"] for 40 days and skip what you have seen.
        fields = event if isinstance(event, dict) else {}
        print(fields.get("type"), fields.get("id"), flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Receiver).serve_forever()
"""

_NODE: Final = """\
const { createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (key.length === 0) { // anybody can sign with an empty key
  console.error("WEBHOOK_SECRET is empty: set it to the webhook's secret.");
  process.exit(1);
}

function verified(headers, body) {
  const id = headers["webhook-id"] ?? "", at = headers["webhook-timestamp"] ?? "";
  if (!/^\\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > 300) return false;
  const expected = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const [version, text] = one.split(",", 2);
    const given = Buffer.from(text ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function receive(request, response) {
  if (!(Number(request.headers["content-length"]) <= 4 << 20)) return response.writeHead(413).end(); // calls say their length
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts); // the raw bytes are what is signed
  if (!verified(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body.toString());
  // A call may come twice: remember request.headers["webhook-id"] for 40 days and skip what you have seen.
  console.log(event.type, event.id);
  response.writeHead(204).end();
}

createServer((request, response) => {
  receive(request, response).catch((error) => { // a caller that hangs up must not end the process
    console.error(error.message);
    if (!response.destroyed && !response.headersSent) response.writeHead(500).end();
  });
}).listen(Number(process.env.PORT ?? 8000));
"""

_PHP: Final = """\
<?php
$body = file_get_contents('php://input'); // the raw bytes are what is signed
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$key = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET') ?: ''));
if (!$key) { // anybody can sign with an empty key
    error_log("WEBHOOK_SECRET is empty: set it to the webhook's secret.");
    http_response_code(500);
    exit;
}
$expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));

$verified = false;
foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
    $verified = hash_equals($expected, $given) || $verified;
}
if (!$verified || !ctype_digit($at) || abs(time() - (int) $at) > 300) {
    http_response_code(401);
    exit;
}

$event = json_decode($body, true);
// A call may come twice: remember $id for 40 days and skip what you have seen.
error_log(json_encode([$event['type'] ?? null, $event['id'] ?? null]));
http_response_code(204);
"""

_GO: Final = """\
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var key, unreadable = base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))

func verified(headers http.Header, body []byte) bool {
	id, at := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, given := range strings.Split(headers.Get("webhook-signature"), " ") {
		if hmac.Equal([]byte(given), expected) {
			return true
		}
	}
	return false
}

func receive(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, 4<<20)) // the raw bytes are what is signed
	if err != nil {
		answer.WriteHeader(http.StatusBadRequest) // longer than 4 MiB, or cut off
		return
	}
	if !verified(request.Header, body) {
		answer.WriteHeader(http.StatusUnauthorized)
		return
	}
	var event any
	if json.Unmarshal(body, &event) != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	// A call may come twice: remember the webhook-id for 40 days and skip what you have seen.
	fields, _ := event.(map[string]any)
	fmt.Println(fields["type"], fields["id"])
	answer.WriteHeader(http.StatusNoContent)
}

func main() {
	if unreadable != nil || len(key) == 0 { // anybody can sign with an empty key
		log.Fatal("WEBHOOK_SECRET is empty or no base64: set it to the webhook's secret.")
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	http.HandleFunc("/", receive)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
"""

SNIPPETS: Final = (
    Snippet(name="Python", file="receiver.py", needs="pip install standardwebhooks", run="python receiver.py", code=_PYTHON),
    Snippet(name="Node", file="receiver.js", needs="", run="node receiver.js", code=_NODE),
    Snippet(name="PHP", file="receiver.php", needs="", run="php -S 0.0.0.0:8000 receiver.php", code=_PHP),
    Snippet(name="Go", file="receiver.go", needs="", run="go run receiver.go", code=_GO),
)
