package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	musterv1 "muster/v1"
)

const (
	// A call that takes longer is asked again, at another master.
	tryTimeout = 10 * time.Second
	// How long no master may answer before the program gives up.
	patience = time.Minute
)

// With it gRPC itself repeats calls that change nothing. Before v1.40 it does so only with
// GRPC_GO_RETRY=on in the environment.
//
//go:embed service-config.json
var serviceConfig string

// master is one master of a cluster.
type master struct {
	musterv1.MasterServiceClient
	applications musterv1.ApplicationServiceClient
	connection   *grpc.ClientConn
}

// Cluster is the masters of a cluster. Any of them may be asked; when one does not answer, the next
// is. It is used by one goroutine at a time.
type Cluster struct {
	masters     []master
	silentSince time.Time
}

// bearerToken sends a token with every call.
type bearerToken struct {
	token     string
	encrypted bool
}

func (b bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearerToken) RequireTransportSecurity() bool { return b.encrypted }

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// FromEnvironment connects to the cluster that MUSTER_MASTER, MUSTER_CA_FILE and MUSTER_TOKEN name.
func FromEnvironment() (*Cluster, error) {
	addresses := os.Getenv("MUSTER_MASTER")
	if addresses == "" {
		addresses = "localhost:7077"
	}
	var ca *x509.CertPool
	if path := os.Getenv("MUSTER_CA_FILE"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		ca = x509.NewCertPool()
		if !ca.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", path)
		}
	}
	return Connect(strings.Split(addresses, ","), ca, os.Getenv("MUSTER_TOKEN"))
}

// Connect makes a client of these masters. They serve in plaintext if ca is nil.
func Connect(addresses []string, ca *x509.CertPool, token string) (*Cluster, error) {
	transport := grpc.WithInsecure()
	if ca != nil {
		transport = grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca}))
	}
	cluster := &Cluster{}
	for _, address := range addresses {
		options := []grpc.DialOption{
			transport,
			grpc.WithDefaultServiceConfig(serviceConfig),
			// A machine that is gone without a word is noticed.
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		}
		if token != "" && (ca != nil || isLoopback(address)) {
			options = append(options, grpc.WithPerRPCCredentials(bearerToken{token, ca != nil}))
		}
		connection, err := grpc.Dial(address, options...)
		if err != nil {
			cluster.Close()
			return nil, err
		}
		cluster.masters = append(cluster.masters, master{
			MasterServiceClient: musterv1.NewMasterServiceClient(connection),
			applications:        musterv1.NewApplicationServiceClient(connection),
			connection:          connection,
		})
	}
	return cluster, nil
}

// Close closes all connections.
func (c *Cluster) Close() {
	for _, master := range c.masters {
		master.connection.Close()
	}
}

func (c *Cluster) master() master { return c.masters[0] }

// answered notes that a master answered.
func (c *Cluster) answered() { c.silentSince = time.Time{} }

// failed turns to the next master after a pause, and returns nil; or it returns the error, if that
// is of no use.
func (c *Cluster) failed(ctx context.Context, err error) error {
	if c.silentSince.IsZero() {
		c.silentSince = time.Now()
	}
	code := status.Code(err)
	switch code {
	// UNKNOWN means that a mutation may have been applied: asked again under the same request id,
	// it is applied once.
	case codes.Unavailable, codes.Unknown, codes.DeadlineExceeded:
	default:
		return err
	}
	if ctx.Err() != nil || time.Since(c.silentSince) > patience {
		return err
	}
	log.Printf("# %s: %v", strings.ToUpper(code.String()), err)
	c.masters = append(c.masters[1:], c.masters[0])
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call calls a method of a master until one answers. A mutation must carry a request id, made
// before: then it is applied once, however often it is asked for.
func call[T any](ctx context.Context, c *Cluster, method func(context.Context, master) (T, error)) (T, error) {
	for {
		answer, err := try(ctx, c.master(), method)
		if err == nil {
			c.answered()
			return answer, nil
		}
		if err := c.failed(ctx, err); err != nil {
			return answer, err
		}
	}
}

func try[T any](ctx context.Context, m master, method func(context.Context, master) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return method(ctx, m)
}
