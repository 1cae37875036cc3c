package audit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"freeflow/internal/database"
)

// frontier is the right edge of the Merkle tree of RFC 6962 over the first
// entries: the perfect subtrees from the left, largest first. With it a tree
// grows, and its root is known, without its other nodes.
type frontier struct {
	size  int64
	nodes []tlog.Hash
}

// add adds the next leaf and returns the nodes that became known, in the order
// in which audit_tree keeps them: the leaf, then each subtree that it
// completes.
func (f *frontier) add(leaf tlog.Hash) []tlog.Hash {
	made := []tlog.Hash{leaf}
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.nodes) - 1
		leaf = tlog.NodeHash(f.nodes[last], leaf)
		f.nodes = f.nodes[:last]
		made = append(made, leaf)
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
	return made
}

// root is the hash of the whole tree.
func (f *frontier) root() tlog.Hash {
	if len(f.nodes) == 0 {
		return sha256.Sum256(nil)
	}
	h := f.nodes[len(f.nodes)-1]
	for i := len(f.nodes) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.nodes[i], h)
	}
	return h
}

// loadFrontier reads the right edge of the stored tree of a size.
func loadFrontier(ctx context.Context, db database.Session, size int64) (frontier, error) {
	f := frontier{size: size}
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		h, err := treeNode(ctx, db, tlog.StoredHashIndex(level, size>>level-1))
		if err != nil {
			return f, err
		}
		f.nodes = append(f.nodes, h)
	}
	return f, nil
}

func treeNode(ctx context.Context, db database.Session, place int64) (h tlog.Hash, err error) {
	var stored []byte
	found, err := database.One(ctx, db, `SELECT hash FROM audit_tree WHERE place = $1`, []any{place}, &stored)
	switch {
	case err != nil:
		return h, err
	case !found || len(stored) != len(h):
		return h, fmt.Errorf("%w: node %d of the tree is missing or damaged; see `freeflow audit verify`", ErrBroken, place)
	}
	copy(h[:], stored)
	return h, nil
}

// treeReader reads stored nodes for proofs.
type treeReader struct {
	ctx context.Context //nolint:containedctx // tlog's interface has none; it lives for one call
	db  database.Session
}

func (r treeReader) ReadHashes(places []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(places))
	for i, place := range places {
		var err error
		if hashes[i], err = treeNode(r.ctx, r.db, place); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
