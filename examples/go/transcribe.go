// Transcribe a file of any audio format, and print its segments as they come.
//
//	go run transcribe.go speech.wav [http://127.0.0.1:9876]
//
// Needs nothing but Go. A key, where the server asks for one, is read from GIGASTT_KEY.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

// Event is what each server-sent event of /v1/transcribe/stream has, of the fields that are used here.
type Event struct {
	Type    string  `json:"type"`
	Text    string  `json:"text"`
	Start   float64 `json:"start"`
	End     float64 `json:"end"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("expected a file: go run transcribe.go speech.wav [http://127.0.0.1:9876]")
	}
	server := "http://127.0.0.1:9876"
	if len(os.Args) > 2 {
		server = os.Args[2]
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()

	request, err := http.NewRequest(http.MethodPost, server+"/v1/transcribe/stream", file)
	if err != nil {
		log.Fatal(err)
	}
	if key := os.Getenv("GIGASTT_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()

	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20) // an event with many words is longer than a Scanner's usual line
	for lines.Scan() {
		line := lines.Text()
		if answer.StatusCode != http.StatusOK {
			log.Fatalf("%s: %s", answer.Status, line)
		}
		data, isData := strings.CutPrefix(line, "data: ")
		if !isData {
			continue
		}
		var event Event
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			log.Fatal(err)
		}
		switch {
		case event.Type == "error":
			log.Printf("%s: %s", event.Code, event.Message)
		case event.Type == "final" && event.Text != "":
			fmt.Printf("%7.2f %7.2f  %s\n", event.Start, event.End, event.Text)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
