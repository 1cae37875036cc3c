package rsu_test

import (
	"strings"
	"testing"

	"freeflow/rsu"
)

// unitJSON is what a unit sends, 224 bytes.
const unitJSON = `{"unit":"CHT-N-1","boot":"4f1c9a52","seq":918273,"time":"2026-11-23T08:00:00.123456+08:00",` +
	`"tag":"E2801160600002066666ABCD","plate":"AB 1234","plate_confidence":0.973,"class":"private_car","antenna":2,"rssi":-61.5,"image":""}`

var sinkRead rsu.Read

func BenchmarkDecodeJSON(b *testing.B) {
	data := []byte(unitJSON)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := rsu.DecodeJSON(data, false)
		if err != nil {
			b.Fatal(err)
		}
		sinkRead = r
	}
}

func BenchmarkDecodeJSONUnknownField(b *testing.B) {
	data := []byte(unitJSON[:len(unitJSON)-1] + `,"speed":88}`)
	b.ReportAllocs()
	for b.Loop() {
		r, err := rsu.DecodeJSON(data, false)
		if err != nil {
			b.Fatal(err)
		}
		sinkRead = r
	}
}

func BenchmarkOracleJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := oracleJSON(unitJSON, false)
		if err != nil {
			b.Fatal(err)
		}
		sinkRead = r
	}
}

func BenchmarkDecodeJSONArray100(b *testing.B) {
	text := "[" + strings.Repeat(unitJSON+",", 99) + unitJSON + "]"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		err := rsu.DecodeJSONArray(text, false, func(_ string, r rsu.Read, err error) error {
			sinkRead = r
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/read")
}

func BenchmarkBinary(b *testing.B) {
	r, err := rsu.DecodeJSON([]byte(unitJSON), true)
	if err != nil {
		b.Fatal(err)
	}
	value, err := r.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, 256)
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = r.AppendBinary(buf[:0])
		}
		b.ReportMetric(float64(len(value)), "bytes")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := sinkRead.UnmarshalBinary(value); err != nil {
				b.Fatal(err)
			}
		}
	})
}
