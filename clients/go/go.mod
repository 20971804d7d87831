// The generated packages are muster/v1, as the protos' go_package says.
module muster

go 1.19

require (
	google.golang.org/grpc v1.33.3
	google.golang.org/protobuf v1.28.1
)
