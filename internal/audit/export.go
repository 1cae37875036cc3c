package audit

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"

	"freeflow/internal/database"
)

// ExportOptions say which entries are exported.
type ExportOptions struct {
	// From and To bound the numbers, both included; 0 means no bound.
	From, To int64
	// Account restricts to the events that concern one; empty means all.
	Account string
	// Proof is the size of the chain, as a checkpoint has it, in which each
	// entry is proved to stand; 0 means no proofs.
	Proof int64
}

// Entry is one entry of the chain in the form in which it is exported.
type Entry struct {
	Seq int64 `json:"seq"`
	// Hash is the entry's hash, hexadecimal.
	Hash string `json:"hash"`
	// Event is the canonical encoding, to the byte.
	Event jsontext.Value `json:"event"`
	// Salt, Reason and Personal are what may be forgotten; empty where there
	// is none or it was erased.
	Salt     string         `json:"salt,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Personal jsontext.Value `json:"personal,omitempty"`
	// Proof is the way from the entry to the root of the checkpoint's size,
	// each hash in base64.
	Proof []string `json:"proof,omitempty"`
}

// Export calls each with the entries that the options select, in order, on one
// snapshot, a page in memory at a time; it ends with each's first error.
// Entries are given as they stand; whether they are as they were written is
// Verify's to say.
func (l *Log) Export(ctx context.Context, o ExportOptions, each func(Entry) error) error {
	err := l.db.Read(ctx, func(db database.Session) error {
		if o.Proof > 0 {
			size, _, err := chainEnd(ctx, db)
			if err != nil {
				return err
			}
			if o.Proof > size {
				return fmt.Errorf("the chain has %d entries, and a proof in one of %d is asked for", size, o.Proof)
			}
		}
		for after := o.From - 1; ; {
			page, err := chainPage(ctx, db, after)
			if err != nil {
				return err
			}
			for i := range page {
				if o.To > 0 && page[i].seq > o.To {
					return nil
				}
				if o.Account != "" && page[i].event.account != o.Account {
					continue
				}
				e, err := entryOf(ctx, db, &page[i], o.Proof)
				if err != nil {
					return err
				}
				if err := each(e); err != nil {
					return err
				}
			}
			if len(page) < verifyPage {
				return nil
			}
			after = page[len(page)-1].seq
		}
	})
	if err != nil {
		return fmt.Errorf("exporting the audit trail: %w", err)
	}
	return nil
}

func entryOf(ctx context.Context, db database.Session, l *linkRow, proof int64) (Entry, error) {
	encoding, err := l.event.encode(l.seq)
	if err != nil || !l.found {
		return Entry{}, errors.Join(err, fmt.Errorf("%w: entry %d; see `freeflow audit verify`", ErrBroken, l.seq))
	}
	e := Entry{Seq: l.seq, Hash: hex.EncodeToString(l.hash), Event: encoding}
	if l.hasPrivate {
		var p private
		if err := json.Unmarshal([]byte(l.private.body), &p); err != nil {
			return Entry{}, fmt.Errorf("%w: the private part of entry %d: %w", ErrBroken, l.seq, err)
		}
		e.Salt, e.Reason = hex.EncodeToString(l.private.salt), p.Reason
		if string(p.Personal) != "null" {
			e.Personal = p.Personal
		}
	}
	if proof == 0 {
		return e, nil
	}
	if l.seq > proof {
		return Entry{}, fmt.Errorf("entry %d is younger than a chain of %d; make another checkpoint, or export up to %d", l.seq, proof, proof)
	}
	way, err := tlog.ProveRecord(proof, l.seq-1, treeReader{ctx, db})
	if err != nil {
		return Entry{}, err
	}
	e.Proof = make([]string, len(way))
	for i, h := range way {
		e.Proof[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return e, nil
}

// CheckInclusion checks that an exported entry stands in the chain of a
// checkpoint, from the two alone: no database is asked.
func CheckInclusion(e Entry, h Head) error {
	_, seq, err := decode(e.Event)
	if err != nil || seq != e.Seq {
		return errors.Join(err, fmt.Errorf("entry %d is not in canonical form, or of another number", e.Seq))
	}
	way := make(tlog.RecordProof, len(e.Proof))
	for i, text := range e.Proof {
		hash, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(hash) != len(way[i]) {
			return fmt.Errorf("the proof of entry %d is damaged", e.Seq)
		}
		copy(way[i][:], hash)
	}
	if err := tlog.CheckRecord(way, h.Size, h.Root, seq-1, tlog.RecordHash(e.Event)); err != nil {
		return fmt.Errorf("entry %d does not stand in that chain: %w", e.Seq, err)
	}
	return nil
}
