package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// veiledKeys are the keys of attributes whose values name a vehicle.
var veiledKeys = []string{"plate", "tag", "vehicle", "mark", "epc"}

// namesVehicle finds what names a vehicle within other text: the vehicle's name
// as the books write it, and the long upper-case hexadecimal of a tag. A plate
// by itself looks like any word: no error may hold one.
var namesVehicle = regexp.MustCompile(`\b(?:tag|plate):[^\s"'\\,;()]+|\b[0-9A-F]{16,124}\b`)

// shortestDigits is how many digits without a letter may be a tag: longer than
// any number of 64 bits, and as long as the shortest EPC.
const shortestDigits = 24

// Veil returns a logger that writes pseudonyms for what names a vehicle: the
// values of attributes called plate, tag, vehicle, mark or epc, and names and
// tags within any text. It is the second line: whoever writes a log message
// leaves vehicles out of it, or gives their pseudonym.
func Veil(log *slog.Logger, p *Pseudonyms) *slog.Logger {
	return slog.New(veil{log.Handler(), p})
}

type veil struct {
	next slog.Handler
	p    *Pseudonyms
}

func (v veil) Enabled(ctx context.Context, level slog.Level) bool { return v.next.Enabled(ctx, level) }

func (v veil) Handle(ctx context.Context, r slog.Record) error {
	veiled := slog.NewRecord(r.Time, r.Level, v.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		veiled.AddAttrs(v.attr(a))
		return true
	})
	return v.next.Handle(ctx, veiled)
}

func (v veil) WithAttrs(attrs []slog.Attr) slog.Handler {
	veiled := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		veiled[i] = v.attr(a)
	}
	return veil{v.next.WithAttrs(veiled), v.p}
}

func (v veil) WithGroup(name string) slog.Handler { return veil{v.next.WithGroup(name), v.p} }

func (v veil) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		group := slices.Clone(value.Group())
		for i := range group {
			group[i] = v.attr(group[i])
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	case slog.KindString:
		return slog.String(a.Key, v.value(a.Key, value.String()))
	case slog.KindAny:
		// Errors and other things that are written as text.
		text := fmt.Sprint(value.Any())
		if veiled := v.value(a.Key, text); veiled != text {
			if _, isError := value.Any().(error); isError {
				return slog.Any(a.Key, errors.New(veiled))
			}
			return slog.String(a.Key, veiled)
		}
	}
	return slog.Attr{Key: a.Key, Value: value}
}

func (v veil) value(key, text string) string {
	if slices.Contains(veiledKeys, key) {
		return v.p.Of(text)
	}
	return v.text(text)
}

func (v veil) text(text string) string {
	return namesVehicle.ReplaceAllStringFunc(text, func(name string) string {
		if len(name) < shortestDigits && strings.Trim(name, "0123456789") == "" {
			return name // an instant or a count
		}
		return v.p.Of(name)
	})
}
