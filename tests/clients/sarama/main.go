// What a user of sarama does with a broker: administration, an idempotent producer, a group that goes on where it stopped.
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

	"github.com/IBM/sarama"
)

const (
	records  = 300
	patience = 30 * time.Second
)

var bootstrap []string

func main() {
	bootstrap = os.Args[1:2]
	topic, group := os.Args[2]+"sarama", os.Args[2]+"sarama-group"
	admin, err := sarama.NewClusterAdmin(bootstrap, config())
	must(err)
	defer admin.Close()
	administer(admin, topic)
	produce(topic)
	expect(read(topic, group, records), records, "a group reads all records once")
	more(topic)
	expect(read(topic, group, 1), 1, "the group goes on where it stopped")
	look(admin, topic, group)
	fmt.Println("transactions:", transact(topic))
	must(admin.DeleteTopic(topic))
	becomes(func() int { return partitions(admin, topic) }, 0, "the topic is deleted")
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_1_0_0
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Compression = sarama.CompressionSnappy
	config.Net.MaxOpenRequests = 1
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

func administer(admin sarama.ClusterAdmin, topic string) {
	retention := "3600000"
	detail := &sarama.TopicDetail{
		NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention},
	}
	must(admin.CreateTopic(topic, detail, false))
	expect(errors.Is(admin.CreateTopic(topic, detail, false), sarama.ErrTopicAlreadyExists), true, "a topic is created once")
	becomes(func() int { return partitions(admin, topic) }, 2, "the topic is described")
	must(admin.CreatePartitions(topic, 3, nil, false))
	becomes(func() int { return partitions(admin, topic) }, 3, "partitions are added")
	found, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(err)
	expect(found[0].Value, retention, "settings are described")
	dirs, err := admin.DescribeLogDirs([]int32{1})
	must(err)
	expect(len(dirs[1]), 1, "the log dir is described")
	_, err = admin.ListAcls(sarama.AclFilter{ResourceType: sarama.AclResourceAny, ResourcePatternTypeFilter: sarama.AclPatternAny, Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny})
	expect(errors.Is(err, sarama.ErrSecurityDisabled), true, "there are no ACLs")
}

func partitions(admin sarama.ClusterAdmin, topic string) int {
	described, err := admin.DescribeTopics([]string{topic})
	must(err)
	return len(described[0].Partitions)
}

func produce(topic string) {
	producer, err := sarama.NewSyncProducer(bootstrap, config())
	must(err)
	defer producer.Close()
	places := map[[2]int64]bool{}
	for n := range records {
		key, value := sarama.StringEncoder(fmt.Sprint(n)), sarama.StringEncoder(fmt.Sprint("value ", n))
		partition, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Key: key, Value: value})
		must(err)
		places[[2]int64{int64(partition), offset}] = true
	}
	expect(len(places), records, "an idempotent producer writes each record to a place of its own")
}

func more(topic string) {
	producer, err := sarama.NewSyncProducer(bootstrap, config())
	must(err)
	defer producer.Close()
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("more")})
	must(err)
}

// A member of a group that stops after some records.
type member struct {
	taken chan *sarama.ConsumerMessage
}

func (*member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		select {
		case m.taken <- message:
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

// How many different records the group reads until it has so many.
func read(topic, group string, count int) int {
	consumer, err := sarama.NewConsumerGroup(bootstrap, group, config())
	must(err)
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m := &member{taken: make(chan *sarama.ConsumerMessage)}
	ended := make(chan error, 1)
	go func() { ended <- consumer.Consume(ctx, []string{topic}, m) }()
	seen := map[string]bool{}
	for len(seen) < count && ctx.Err() == nil {
		select {
		case message := <-m.taken:
			seen[fmt.Sprint(message.Partition, message.Offset)] = true
		case <-ctx.Done():
		}
	}
	cancel()
	<-ended
	return len(seen)
}

func look(admin sarama.ClusterAdmin, topic, group string) {
	groups, err := admin.ListConsumerGroups()
	must(err)
	_, listed := groups[group]
	expect(listed, true, "the group is listed")
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2}})
	must(err)
	sum := int64(0)
	for _, block := range offsets.Blocks[topic] {
		sum += block.Offset
	}
	expect(sum, int64(records+1), "committed offsets are told")
	must(admin.DeleteConsumerGroup(group))
	fmt.Println("worked: an idle group is deleted")
}

func transact(topic string) string {
	config := config()
	config.Producer.Transaction.ID = topic + "-id"
	producer, err := sarama.NewSyncProducer(bootstrap, config)
	if err != nil {
		return err.Error()
	}
	defer producer.Close()
	must(producer.BeginTxn())
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("in a transaction")})
	must(err)
	must(producer.CommitTxn())
	return "work"
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
