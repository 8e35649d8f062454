// What a user of segmentio's kafka-go does with a broker: administration, a producer, a group that goes on where it stopped.
//
// Takes the broker's address and a prefix for names; prints a line for each thing that worked and what became of a transaction, and ends with an
// error at the first thing that went wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	records  = 300
	patience = 30 * time.Second
)

var client *kafka.Client

func main() {
	client = &kafka.Client{Addr: kafka.TCP(os.Args[1]), Timeout: patience}
	topic, group := os.Args[2]+"segmentio", os.Args[2]+"segmentio-group"
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	administer(ctx, topic)
	write(ctx, topic, records)
	expect(read(ctx, topic, group, records), records, "a group reads all records once")
	write(ctx, topic, 1)
	expect(read(ctx, topic, group, 1), 1, "the group goes on where it stopped")
	look(ctx, topic, group)
	fmt.Println("transactions:", transact(ctx, topic))
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	must(err)
	must(deleted.Errors[topic])
	becomes(func() int { return partitions(ctx, topic) }, 0, "the topic is deleted")
}

func administer(ctx context.Context, topic string) {
	create := func() error {
		created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
			Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
			ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "3600000"}},
		}}})
		must(err)
		return created.Errors[topic]
	}
	must(create())
	expect(errors.Is(create(), kafka.TopicAlreadyExists), true, "a topic is created once")
	becomes(func() int { return partitions(ctx, topic) }, 2, "the topic is described")
	added, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
	must(err)
	must(added.Errors[topic])
	becomes(func() int { return partitions(ctx, topic) }, 3, "partitions are added")
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}
	found, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{resource}})
	must(err)
	expect(found.Resources[0].ConfigEntries[0].ConfigValue, "3600000", "settings are described")
	moving, err := client.ListPartitionReassignments(ctx, &kafka.ListPartitionReassignmentsRequest{})
	must(err)
	expect(len(moving.Topics), 0, "no partition is on its way")
}

func partitions(ctx context.Context, topic string) int {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	must(err)
	return len(metadata.Topics[0].Partitions)
}

func write(ctx context.Context, topic string, count int) {
	writer := &kafka.Writer{
		Addr: client.Addr, Topic: topic, RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, Balancer: &kafka.Hash{}, BatchTimeout: time.Millisecond,
	}
	defer writer.Close()
	messages := make([]kafka.Message, count)
	for n := range messages {
		messages[n] = kafka.Message{Key: fmt.Append(nil, n), Value: fmt.Append(nil, "value ", n)}
	}
	must(writer.WriteMessages(ctx, messages...))
	fmt.Println("worked: records are written:", count)
}

// How many different records the group reads and commits, up to so many.
func read(ctx context.Context, topic, group string, count int) int {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{client.Addr.String()}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	seen := map[string]bool{}
	for len(seen) < count {
		message, err := reader.FetchMessage(ctx)
		must(err)
		seen[fmt.Sprint(message.Partition, message.Offset)] = true
		must(reader.CommitMessages(ctx, message))
	}
	return len(seen)
}

func look(ctx context.Context, topic, group string) {
	ends, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.LastOffsetOf(0), kafka.LastOffsetOf(1), kafka.LastOffsetOf(2)},
	}})
	must(err)
	sum := int64(0)
	for _, end := range ends.Topics[topic] {
		sum += end.LastOffset
	}
	expect(sum, int64(records+1), "end offsets are told")
	groups, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	must(err)
	listed := false
	for _, found := range groups.Groups {
		listed = listed || found.GroupID == group
	}
	expect(listed, true, "the group is listed")
	deleted, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	must(err)
	must(deleted.Errors[group])
	fmt.Println("worked: an idle group is deleted")
}

// This library has the requests of transactions, and no producer that uses them.
func transact(ctx context.Context, topic string) string {
	id := topic + "-id"
	// A coordinator that has just begun says so.
	for {
		begun, err := client.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 60_000})
		must(err)
		switch {
		case errors.Is(begun.Error, kafka.GroupCoordinatorNotAvailable), errors.Is(begun.Error, kafka.NotCoordinatorForGroup),
			errors.Is(begun.Error, kafka.GroupLoadInProgress):
			time.Sleep(50 * time.Millisecond)
		case begun.Error != nil:
			return begun.Error.Error()
		default:
			return "work"
		}
	}
}

func becomes[T comparable](find func() T, wanted T, what string) {
	deadline := time.Now().Add(patience)
	for find() != wanted && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	expect(find(), wanted, what)
}

func expect[T comparable](found, wanted T, what string) {
	if found != wanted {
		must(fmt.Errorf("%s: %v instead of %v", what, found, wanted))
	}
	fmt.Println("worked:", what)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
