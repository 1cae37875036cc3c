package audit

import "context"

// actorKey is where a context carries the actor.
type actorKey struct{}

// WithActor returns a context that says on whose behalf something is done, for
// stores whose calls do not name anybody.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns on whose behalf the context is; the system itself where it
// does not say.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok && a.Name != "" {
		return a
	}
	return Actor{Name: "system", Role: "system"}
}
