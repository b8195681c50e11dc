// A peer: what a Go team would write, net/http and redigo.
//
//	pool   one XADD per request, on a connection of a pool
//	group  group commit: one goroutine writes what has gathered, and reads the replies
//
// Checks timestamp, signature and JSON, and answers 202 when the queue has the event.
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	windowS  = 300
	groupMax = 1024
)

var (
	secret = []byte(os.Getenv("BENCH_SECRET"))
	queue  = "127.0.0.1:" + os.Getenv("BENCH_QUEUE_PORT")
)

type event struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
}

type answer struct {
	EventID   string `json:"eventId"`
	SessionID string `json:"sessionId"`
}

type entry struct {
	id, project string
	body        []byte
	done        chan error
}

func (e entry) arguments() []interface{} {
	return []interface{}{"ingest", "*", "id", e.id, "project", e.project, "body", e.body}
}

func dial() (redis.Conn, error) { return redis.Dial("tcp", queue) }

// pooled appends over a pool of connections.
func pooled() func(entry) error {
	pool := &redis.Pool{MaxIdle: 64, MaxActive: 64, Wait: true, Dial: dial}
	return func(e entry) error {
		connection := pool.Get()
		defer connection.Close()
		_, err := connection.Do("XADD", e.arguments()...)
		return err
	}
}

// grouped appends through one goroutine that commits what has gathered.
func grouped() func(entry) error {
	entries := make(chan entry, 65536)
	connection, err := dial()
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		group := make([]entry, 0, groupMax)
		for first := range entries {
			group = gather(append(group[:0], first), entries)
			commit(connection, group)
		}
	}()
	return func(e entry) error {
		e.done = make(chan error, 1)
		entries <- e
		return <-e.done
	}
}

func gather(group []entry, entries chan entry) []entry {
	for len(group) < groupMax {
		select {
		case next := <-entries:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

func commit(connection redis.Conn, group []entry) {
	for _, e := range group {
		connection.Send("XADD", e.arguments()...)
	}
	connection.Flush()
	for _, e := range group {
		_, err := connection.Receive()
		e.done <- err
	}
}

func verified(timestamp, signature string, body []byte) bool {
	signedS, err := strconv.ParseInt(timestamp, 10, 64)
	age := time.Now().Unix() - signedS
	if err != nil || age > windowS || age < -windowS {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp))
	mac.Write([]byte("."))
	mac.Write(body)
	expected := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(expected), []byte(signature))
}

func main() {
	appends := map[string]func() func(entry) error{"pool": pooled, "group": grouped}[os.Args[1]]()
	http.HandleFunc("/api/v2/ingest", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		header := r.Header
		if err != nil || !verified(header.Get("X-Contox-Timestamp"), header.Get("X-Contox-Signature"), body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var parsed event
		if json.Unmarshal(body, &parsed) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var random [16]byte
		rand.Read(random[:])
		id := "evt_" + hex.EncodeToString(random[:])
		if appends(entry{id: id, project: header.Get("X-Contox-Project"), body: body}) != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		out, _ := json.Marshal(answer{id, "sess_0"})
		w.Write(out)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("BENCH_PORT"), nil))
}
