#!/bin/sh
# Transcribe a file with curl and watch the segments arrive: sh stream.sh FILE [URL]
# Prints server-sent events; the last one is the end.
set -eu
file=${1:?usage: stream.sh FILE [URL]}
url=${2:-http://127.0.0.1:9876}
exec curl --silent --show-error --fail-with-body --no-buffer \
    --header 'Content-Type: application/octet-stream' --data-binary "@$file" "$url/v1/transcribe/stream"
