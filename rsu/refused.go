package rsu

import "errors"

// Code names why a read was refused, for programs; the message is for people.
type Code string

// The codes. New ones may be added; what they stand for does not change.
const (
	CodeNotJSON       Code = "not_json"
	CodeNotObject     Code = "not_object"
	CodeNotProtobuf   Code = "not_protobuf"
	CodeDuplicateName Code = "duplicate_name"
	CodeUnknownField  Code = "unknown_field"
	CodeMissingField  Code = "missing_field"
	CodeIllTyped      Code = "ill_typed"
	CodeTooLong       Code = "too_long"
	CodeBadTime       Code = "bad_time"
	CodeTooOld        Code = "too_old"
	CodeInFuture      Code = "in_future"
	CodeBadTag        Code = "bad_tag"
	CodeConfidence    Code = "confidence_out_of_range"
	CodeNoMark        Code = "no_mark"
	CodeUnknownUnit   Code = "unknown_unit"
	CodeUnknownClass  Code = "unknown_class"
)

// RefusedError says why one read is not acceptable. The message is short, says
// how to mend the read, and never repeats a tag or a plate.
type RefusedError struct {
	// Code is the kind of reason.
	Code Code
	// Field is the name of the field at fault; empty if it is the whole.
	Field string
	// Message says what is wrong and how to mend it, without the field's name.
	Message string
}

// Error returns the message, led by the field's name if there is one.
func (e *RefusedError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// CodeOf returns the code of a refusal, or the empty code if err is none.
func CodeOf(err error) Code {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

func refuse(code Code, field, message string) *RefusedError {
	return &RefusedError{Code: code, Field: field, Message: message}
}

// cut shortens what is quoted in a message.
func cut(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	// The quoting that follows makes half a character harmless.
	return s[:most] + "..."
}
