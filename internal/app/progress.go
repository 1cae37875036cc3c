package app

import (
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// byteBar shows on a terminal how far the files have been read.
type byteBar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

// newByteBar begins a bar over the sizes of the files; a size that cannot be
// known, as that of stdin, leaves the end open.
func newByteBar(env Env, files []string) *byteBar {
	if !env.Terminal {
		return &byteBar{}
	}
	var total int64
	for _, path := range files {
		info, err := os.Stat(path)
		if path == "-" || err != nil || !info.Mode().IsRegular() {
			total = 0
			break
		}
		total += info.Size()
	}
	progress := mpb.New(mpb.WithOutput(env.Stderr), mpb.WithWidth(60), mpb.WithAutoRefresh())
	return &byteBar{progress, progress.AddBar(total,
		mpb.PrependDecorators(decor.Name("reading ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f of % .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)),
	)}
}

func (b *byteBar) add(n int) {
	if b.bar != nil {
		b.bar.IncrBy(n)
	}
}

func (b *byteBar) done() {
	if b.bar != nil {
		b.bar.SetTotal(-1, true)
		b.progress.Wait()
	}
}
