package gateway

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"freeflow/internal/web"
	"freeflow/rsu"
)

// form is how the reads stand in the body.
type form int

const (
	formSniff form = iota // JSON, by its first character
	formLines
	formProtobuf
)

const mediaTypes = "application/json, application/x-ndjson, application/x-protobuf"

// formOf returns the form that the content type says, or the problem of one
// that is not taken. None at all is taken for JSON.
func formOf(contentType string) (form, error) {
	if contentType == "" {
		return formSniff, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	if err == nil && (charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii")) {
		switch media {
		case "application/json",
			// What clients say that were not told what they send; the first is
			// curl's way with -d. No browser gets here, for want of a key.
			"application/x-www-form-urlencoded", "text/plain", "application/octet-stream":
			return formSniff, nil
		case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
			return formLines, nil
		case "application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf":
			return formProtobuf, nil
		}
	}
	p := web.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "",
		"send reads in UTF-8 with a Content-Type of: "+mediaTypes)
	p.Header = http.Header{"Accept-Post": {mediaTypes}}
	return 0, p
}

// itemBytes is what an item costs on its way, beside its text: the item, its
// message and the message's value, with room for their growing.
const itemBytes = 1 << 10

// splitter takes a body apart.
type splitter struct {
	strict  bool
	most    int // items
	maxLine int
	held    *share
	items   []Item
}

// split decodes every read of the body alone. A body that does not parse as a
// whole gives a problem.
func (s *splitter) split(how form, body []byte) ([]Item, error) {
	// The texts of the reads live in one copy of the body.
	if err := s.held.take(int64(len(body))); err != nil {
		return nil, err
	}
	if how == formProtobuf {
		err := rsu.DecodeProtoBatch(body, s.strict, func(raw string, r rsu.Read, err error) error {
			return s.add(Item{Form: rsu.FormProtobuf, Raw: raw, Read: r, Err: err})
		})
		return s.items, asProblem(err, "bad-protobuf", "The body is not a ReadBatch",
			"%v; nothing of it was taken, the schema is at /v1/reads.proto")
	}
	text := string(body)
	if how == formLines {
		return s.items, s.lines(text)
	}
	switch first := strings.TrimLeft(text, " \t\r\n"); {
	case strings.HasPrefix(first, "["):
		err := rsu.DecodeJSONArray(text, s.strict, func(raw string, r rsu.Read, err error) error {
			return s.add(Item{Form: rsu.FormJSON, Raw: raw, Read: r, Err: err})
		})
		return s.items, asProblem(err, "bad-json", "The body is not a JSON array", "%v; nothing of it was taken")
	case strings.HasPrefix(first, "{"):
		// One object over several lines is one read; else each line is one.
		if rsu.OneJSONValue(text) {
			return s.items, s.add(JSONItem(text, s.strict))
		}
		return s.items, s.lines(text)
	case first == "":
		return nil, web.NewProblem(http.StatusBadRequest, "bad-json", "The body is not a JSON array",
			"the body is empty; send an array of reads, or [] for none")
	case linesOfObjects(text):
		return s.items, s.lines(text)
	default:
		return nil, web.NewProblem(http.StatusBadRequest, "bad-json", "The body is not a JSON array",
			"the body is neither an array of reads nor lines of reads")
	}
}

// linesOfObjects reports whether a later line begins as a read although the
// first does not: then it is a bad line with neighbours, not a bad body.
func linesOfObjects(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " \t\r\n"), "{") {
			return true
		}
	}
	return false
}

// lines takes NDJSON: one read a line. Blank lines count for nothing, also not
// in the index.
func (s *splitter) lines(text string) error {
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line == "" {
			continue
		}
		item := Item{Form: rsu.FormJSON, Raw: line}
		if len(line) > s.maxLine {
			item.Err = &rsu.RefusedError{Code: rsu.CodeTooLong, Message: fmt.Sprintf("the line has %d bytes, at most %d are taken", len(line), s.maxLine)}
		} else {
			item = JSONItem(line, s.strict)
		}
		if err := s.add(item); err != nil {
			return err
		}
	}
	return nil
}

// add appends an item within the bounds.
func (s *splitter) add(item Item) error {
	if len(s.items) >= s.most {
		return tooLarge(fmt.Sprintf("more than %d reads came; send fewer at a time", s.most))
	}
	const step = 64
	if len(s.items)%step == 0 {
		if err := s.held.take(step * itemBytes); err != nil {
			return err
		}
	}
	s.items = append(s.items, item)
	return nil
}

// asProblem tells what add says from what is wrong with the body, which becomes
// a 400.
func asProblem(err error, slug, title, detail string) error {
	var p *web.Problem
	if err == nil || errors.As(err, &p) || errors.Is(err, errBusy) {
		return err
	}
	return web.NewProblem(http.StatusBadRequest, slug, title, fmt.Sprintf(detail, err))
}
