package fps

import (
	"fmt"

	qr "github.com/piglig/go-qr"
)

// Bounds of a picture: the quiet zone of four modules that ISO/IEC 18004 asks
// for, and how large a module is drawn, in pixels.
const (
	quietZone   = 4
	moduleScale = 8
)

// SVG draws a code's text as a QR code of error correction level M.
func SVG(text string) ([]byte, error) {
	code, err := encode(text)
	if err != nil {
		return nil, err
	}
	picture, err := code.ToSVGBytes(qr.NewQrCodeImgConfig(moduleScale, quietZone, qr.WithOptimalSVG()))
	if err != nil {
		return nil, fmt.Errorf("drawing a payment QR code: %w", err)
	}
	return picture, nil
}

// PNG is SVG as a bitmap, eight pixels a module.
func PNG(text string) ([]byte, error) {
	code, err := encode(text)
	if err != nil {
		return nil, err
	}
	picture, err := code.ToPNGBytes(qr.NewQrCodeImgConfig(moduleScale, quietZone))
	if err != nil {
		return nil, fmt.Errorf("drawing a payment QR code: %w", err)
	}
	return picture, nil
}

func encode(text string) (*qr.QrCode, error) {
	if text == "" || len(text) > maxPayload {
		return nil, fmt.Errorf("drawing a payment QR code: %w", invalid("a text of %d bytes", len(text)))
	}
	code, err := qr.EncodeText(text, qr.Medium)
	if err != nil {
		return nil, fmt.Errorf("drawing a payment QR code: %w", err)
	}
	return code, nil
}
