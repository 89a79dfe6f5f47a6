#!/bin/sh
# Transcribe a file with curl: sh transcribe.sh FILE [URL]
# Any format: WAV, FLAC, MP3, Ogg, Opus, M4A, WebM. Prints the answer, a JSON object.
set -eu
file=${1:?usage: transcribe.sh FILE [URL]}
url=${2:-http://127.0.0.1:9876}
exec curl --silent --show-error --fail-with-body \
    --header 'Content-Type: application/octet-stream' --data-binary "@$file" "$url/v1/transcribe"
