// A tour of Muster from Go: submit, wait, read a log, kill, list, run executors.
//
// Usage: muster-tour [PROGRAM [ARGUMENT...]]
//
// MUSTER_MASTER names the masters (HOST:PORT, several with commas between), MUSTER_CA_FILE the CA
// of masters that serve over TLS, and MUSTER_TOKEN a token to authenticate with.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	musterv1 "muster/v1"
)

const (
	batch     = 20
	pageSize  = 8
	executors = 2
)

func newRequestID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(err)
	}
	// A UUID of version 4: one of version 7 would name a time.
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return hex.EncodeToString(id[:])
}

func oneCore() *musterv1.Resources {
	return &musterv1.Resources{Cores: 1, MemoryBytes: 64 << 20}
}

func isTerminal(state musterv1.Driver_State) bool {
	switch state {
	case musterv1.Driver_STATE_FINISHED, musterv1.Driver_STATE_FAILED, musterv1.Driver_STATE_KILLED,
		musterv1.Driver_STATE_LOST, musterv1.Driver_STATE_CRASH_LOOP:
		return true
	}
	return false
}

func submit(ctx context.Context, c *Cluster, program string, args ...string) (string, error) {
	request := &musterv1.SubmitDriverRequest{
		Driver: &musterv1.DriverSpec{
			Command:   &musterv1.Command{Program: program, Args: args},
			Resources: oneCore(),
			Labels:    map[string]string{"client": "go"},
		},
		RequestId: newRequestID(),
	}
	response, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.SubmitDriverResponse, error) {
		return m.SubmitDriver(ctx, request)
	})
	if err != nil {
		return "", err
	}
	fmt.Println("submitted", response.Driver.DriverId)
	return response.Driver.DriverId, nil
}

func get(ctx context.Context, c *Cluster, driverID string) (*musterv1.GetDriverResponse, error) {
	return call(ctx, c, func(ctx context.Context, m master) (*musterv1.GetDriverResponse, error) {
		return m.GetDriver(ctx, &musterv1.GetDriverRequest{DriverId: driverID})
	})
}

// wait follows a driver until it has ended, and returns it as it is then.
func wait(ctx context.Context, c *Cluster, driverID string) (*musterv1.Driver, error) {
	found, err := get(ctx, c, driverID)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%s: %v\n", driverID, found.Driver.State)
	token := found.ResumeToken
	for !isTerminal(found.Driver.State) {
		err := watch(ctx, c, driverID, &token)
		// The events after the token may be forgotten; then its present state tells all.
		if err != nil && status.Code(err) != codes.OutOfRange {
			if err := c.failed(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		if found, err = get(ctx, c, driverID); err != nil {
			return nil, err
		}
		token = found.ResumeToken
	}
	return found.Driver, nil
}

// watch prints the events of a driver from a token on, which it moves along, until the driver ends.
func watch(ctx context.Context, c *Cluster, driverID string, token *string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := &musterv1.WatchEventsRequest{ResumeToken: *token, DriverIds: []string{driverID}}
	events, err := c.master().WatchEvents(ctx, request)
	if err != nil {
		return err
	}
	for {
		response, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.answered()
		*token = response.ResumeToken
		ended := false
		for _, event := range response.Events {
			fmt.Printf("%s: %v\n", driverID, event.GetDriver().GetState())
			ended = ended || isTerminal(event.GetDriver().GetState())
		}
		if ended {
			return nil
		}
	}
}

// copyLog writes the output of a driver until it has ended, each byte once.
func copyLog(ctx context.Context, c *Cluster, driverID string, to io.Writer) error {
	request := &musterv1.ReadLogRequest{
		Subject: &musterv1.ReadLogRequest_DriverId{DriverId: driverID},
		Follow:  true,
	}
	for {
		end, err := copyOn(ctx, c, request, to)
		if end {
			return err
		}
		if err != nil {
			if err := c.failed(ctx, err); err != nil {
				return err
			}
		}
	}
}

// copyOn copies what one stream brings, and moves the offset of the request along.
func copyOn(ctx context.Context, c *Cluster, request *musterv1.ReadLogRequest, to io.Writer) (end bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, err := c.master().ReadLog(ctx, request)
	if err != nil {
		return false, err
	}
	for {
		response, err := chunks.Recv()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		c.answered()
		chunk := response.Chunk
		if _, err := to.Write(chunk.Data); err != nil {
			return true, err
		}
		request.Offset = &musterv1.LogOffset{
			Truncations: chunk.GetOffset().GetTruncations(),
			Byte:        chunk.GetOffset().GetByte() + uint64(len(chunk.Data)),
		}
		if chunk.End {
			return true, nil
		}
	}
}

func kill(ctx context.Context, c *Cluster, driverID string) error {
	request := &musterv1.KillDriverRequest{DriverId: driverID, RequestId: newRequestID()}
	_, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.KillDriverResponse, error) {
		return m.KillDriver(ctx, request)
	})
	return err
}

// listDrivers returns all drivers that the filter selects, asked for page by page.
func listDrivers(ctx context.Context, c *Cluster, filter string) ([]*musterv1.Driver, error) {
	var drivers []*musterv1.Driver
	request := &musterv1.ListDriversRequest{PageSize: pageSize, Filter: filter}
	for {
		page, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.ListDriversResponse, error) {
			return m.ListDrivers(ctx, request)
		})
		if err != nil {
			return nil, err
		}
		drivers = append(drivers, page.Drivers...)
		if page.NextPageToken == "" {
			return drivers, nil
		}
		request.PageToken = page.NextPageToken
	}
}

// runExecutors registers an application with one executor, asks for more, and ends it once they run.
func runExecutors(ctx context.Context, c *Cluster) error {
	register := &musterv1.RegisterApplicationRequest{
		Application: &musterv1.ApplicationSpec{
			Name:     "tour",
			Template: &musterv1.ExecutorTemplate{Command: &musterv1.Command{Program: "/bin/sleep", Args: []string{"3600"}}},
			Profiles: []*musterv1.ExecutorProfile{{ProfileId: 0, Resources: oneCore(), Target: 1}},
		},
		RequestId: newRequestID(),
	}
	registered, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.RegisterApplicationResponse, error) {
		return m.applications.RegisterApplication(ctx, register)
	})
	if err != nil {
		return err
	}
	id := registered.Application.ApplicationId
	more := &musterv1.RequestExecutorsRequest{
		ApplicationId: id,
		Sequence:      1,
		Targets:       []*musterv1.ProfileTarget{{ProfileId: 0, Target: executors}},
		RequestId:     newRequestID(),
	}
	if _, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.RequestExecutorsResponse, error) {
		return m.applications.RequestExecutors(ctx, more)
	}); err != nil {
		return err
	}
	running := map[uint32]bool{}
	session := &musterv1.WatchApplicationRequest{ApplicationId: id}
	for len(running) < executors {
		if err := follow(ctx, c, session, running); err != nil {
			if err := c.failed(ctx, err); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%s: %d executors run\n", id, len(running))
	end := &musterv1.UnregisterApplicationRequest{ApplicationId: id, Success: true, RequestId: newRequestID()}
	if _, err := call(ctx, c, func(ctx context.Context, m master) (*musterv1.UnregisterApplicationResponse, error) {
		return m.applications.UnregisterApplication(ctx, end)
	}); err != nil {
		return err
	}
	fmt.Printf("%s: ended\n", id)
	return nil
}

// follow notes which executors run until enough do. The stream is the application's session: while
// it is away for too long, the application ends.
func follow(ctx context.Context, c *Cluster, request *musterv1.WatchApplicationRequest, running map[uint32]bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, err := c.master().applications.WatchApplication(ctx, request)
	if err != nil {
		return err
	}
	for len(running) < executors {
		response, err := session.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.answered()
		if response.IsSnapshot {
			for id := range running {
				delete(running, id)
			}
		}
		changed := response.Snapshot
		for _, event := range response.Events {
			if event.Executor != nil {
				changed = append(changed, event.Executor)
			}
		}
		for _, executor := range changed {
			if executor.State == musterv1.Executor_STATE_RUNNING {
				running[executor.ExecutorId] = true
			} else {
				delete(running, executor.ExecutorId)
			}
		}
		request.ResumeRevision = response.Revision
	}
	return nil
}

func run(ctx context.Context, command []string) error {
	cluster, err := FromEnvironment()
	if err != nil {
		return err
	}
	defer cluster.Close()

	for i := 0; i < batch; i++ {
		if _, err := submit(ctx, cluster, "/bin/true"); err != nil {
			return err
		}
	}
	drivers, err := listDrivers(ctx, cluster, "labels.client=go")
	if err != nil {
		return err
	}
	fmt.Println("listed", len(drivers))

	id, err := submit(ctx, cluster, command[0], command[1:]...)
	if err != nil {
		return err
	}
	driver, err := wait(ctx, cluster, id)
	if err != nil {
		return err
	}
	var output bytes.Buffer
	if err := copyLog(ctx, cluster, id, &output); err != nil {
		return err
	}
	fmt.Printf("exit code %d, output %q\n", driver.GetOutcome().GetExitCode(), output.String())

	endless, err := submit(ctx, cluster, "/bin/sleep", "3600")
	if err != nil {
		return err
	}
	if err := kill(ctx, cluster, endless); err != nil {
		return err
	}
	if _, err := wait(ctx, cluster, endless); err != nil {
		return err
	}

	return runExecutors(ctx, cluster)
}

func main() {
	log.SetFlags(0)
	command := os.Args[1:]
	if len(command) == 0 {
		command = []string{"/bin/sh", "-c", "echo hello; sleep 3; echo goodbye; exit 3"}
	}
	if err := run(context.Background(), command); err != nil {
		log.Fatal(err)
	}
}
