// What a user of franz-go does with a broker: administration, an idempotent producer, a group of two members that goes on where it stopped.
//
// Takes the broker's address and a prefix for names; prints a line for each thing that worked, and ends with an error at the first that did not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 600

var ctx, _ = context.WithTimeout(context.Background(), 90*time.Second) //nolint: the process ends with it

func main() {
	bootstrap, prefix := os.Args[1], os.Args[2]
	topic, group := prefix+"franz", prefix+"franz-group"
	client := connect(bootstrap, kgo.DefaultProduceTopic(topic))
	defer client.Close()
	// Its own client: one that produces keeps what it knows of its topic, even when that is deleted.
	admin := kadm.NewClient(connect(bootstrap))
	defer admin.Close()

	administer(admin, topic)
	produce(client)
	consumeTogether(bootstrap, topic, group)
	goOn(client, bootstrap, topic, group)
	look(admin, topic)
	// Its own client too: some of these calls keep what they learn of topics, and later ones answer from that.
	console := kadm.NewClient(connect(bootstrap))
	lookAsConsolesDo(console, topic, group)
	console.Close()
	transact(bootstrap, topic)
	cleanUp(admin, topic, group)
}

// What a console shows beside topics and records.
func lookAsConsolesDo(admin *kadm.Client, topic, group string) {
	wanted := kadm.TopicsSet{topic: {0: {}}}
	dirs, err := admin.DescribeAllLogDirs(ctx, wanted)
	must(err)
	size := int64(-1)
	dirs.Each(func(dir kadm.DescribedLogDir) { size = dir.Size() })
	expect(size > 0, true, "the size of a partition is told")
	producers, err := admin.DescribeProducers(ctx, wanted)
	must(err)
	written := 0
	producers.EachProducer(func(producer kadm.DescribedProducer) {
		if producer.ProducerID >= 0 && producer.LastSequence >= 0 {
			written++
		}
	})
	expect(written, 1, "the idempotent producer of a partition is told")
	moving, err := admin.ListPartitionReassignments(ctx, wanted)
	must(err)
	expect(len(moving), 0, "no partition is on its way")
	elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, wanted)
	must(err)
	expect(errors.Is(elected[topic][0].Err, kerr.ElectionNotNeeded), true, "no leader is elected")
	lags, err := admin.Lag(ctx, group)
	must(err)
	must(lags.Error())
	expect(lags[group].Lag.Total(), int64(0), "the group lags behind nothing")
	acls, err := admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().Allow().AllowHosts().Deny().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
	must(err)
	expect(len(acls) > 0 && errors.Is(acls[0].Err, kerr.SecurityDisabled), true, "there are no ACLs")
	users, err := admin.DescribeUserSCRAMs(ctx, topic+"-nobody")
	must(err)
	expect(errors.Is(users[topic+"-nobody"].Err, kerr.ResourceNotFound), true, "nobody has credentials")
	_, err = admin.DescribeClientQuotas(ctx, false, nil)
	must(err)
	_, err = admin.ListTransactions(ctx, nil, nil)
	must(err)
	described, err := admin.DescribeTransactions(ctx, topic+"-nobody")
	must(err)
	expect(errors.Is(described[topic+"-nobody"].Err, kerr.TransactionalIDNotFound), true, "an unknown transaction is not found")
	brokers, err := admin.ListBrokers(ctx)
	must(err)
	configs, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	must(err)
	expect(len(configs), len(brokers), "the broker's settings are told")
}

func connect(bootstrap string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	must(err)
	must(client.Ping(ctx))
	return client
}

func administer(admin *kadm.Client, topic string) {
	retention := "3600000"
	_, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &retention}, topic)
	must(err)
	_, err = admin.CreateTopic(ctx, 3, 1, nil, topic)
	expect(errors.Is(err, kerr.TopicAlreadyExists), true, "a topic is created once")
	_, err = admin.UpdatePartitions(ctx, 4, topic)
	must(err)
	becomes(func() int { return len(topics(admin)[topic].Partitions) }, 4, "partitions are added")
	longer := "7200000"
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &longer}}, topic)
	must(err)
	becomes(func() string { return retentionOf(admin, topic) }, longer, "a setting is altered and described")
}

func topics(admin *kadm.Client) kadm.TopicDetails {
	details, err := admin.ListTopics(ctx)
	must(err)
	return details
}

func retentionOf(admin *kadm.Client, topic string) string {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	must(err)
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			return config.MaybeValue()
		}
	}
	return ""
}

// The client is idempotent unless told otherwise, and compresses with snappy.
func produce(client *kgo.Client) {
	var batch []*kgo.Record
	for n := range records {
		batch = append(batch, &kgo.Record{Key: fmt.Append(nil, n), Value: fmt.Append(nil, "value ", n)})
	}
	places := map[string]bool{}
	for _, result := range client.ProduceSync(ctx, batch...) {
		must(result.Err)
		places[fmt.Sprint(result.Record.Partition, ":", result.Record.Offset)] = true
	}
	expect(len(places), records, "an idempotent producer writes each record to a place of its own")
}

func member(bootstrap, topic, group string) *kgo.Client {
	return connect(bootstrap, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

// Two members share the partitions (cooperative-sticky). A record may be seen twice while they are dealt out, never be missed.
func consumeTogether(bootstrap, topic, group string) {
	reading, done := context.WithCancel(ctx)
	defer done()
	var lock sync.Mutex
	seen := map[string]bool{}
	var members sync.WaitGroup
	for range 2 {
		members.Go(func() {
			client := member(bootstrap, topic, group)
			defer client.Close()
			for reading.Err() == nil {
				fetched := client.PollFetches(reading)
				fetched.EachRecord(func(record *kgo.Record) {
					lock.Lock()
					defer lock.Unlock()
					seen[string(record.Key)] = true
					if len(seen) == records {
						done()
					}
				})
			}
			must(client.CommitUncommittedOffsets(ctx))
		})
	}
	members.Wait()
	expect(len(seen), records, "a group of two reads all records")
}

func goOn(client *kgo.Client, bootstrap, topic, group string) {
	must(client.ProduceSync(ctx, &kgo.Record{Key: []byte("next"), Value: []byte("more")}).FirstErr())
	reader := member(bootstrap, topic, group)
	defer reader.Close()
	var last string
	for last != "next" {
		fetched := reader.PollFetches(ctx)
		must(fetched.Err())
		fetched.EachRecord(func(record *kgo.Record) { last = string(record.Key) })
	}
	must(reader.CommitUncommittedOffsets(ctx))
	worked("the group goes on and commits")
}

func look(admin *kadm.Client, topic string) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	must(err)
	total := int64(0)
	ends.Each(func(offset kadm.ListedOffset) { total += offset.Offset })
	expect(total, int64(records+1), "end offsets are told")
	_, err = admin.ListOffsetsAfterMilli(ctx, 0, topic)
	must(err)
	end, _ := ends.Lookup(topic, 0)
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: end.Offset}}})
	must(err)
	deleted.Each(func(response kadm.DeleteRecordsResponse) { must(response.Err) })
	starts, err := admin.ListStartOffsets(ctx, topic)
	must(err)
	start, _ := starts.Lookup(topic, 0)
	expect(start.Offset, end.Offset, "records are deleted from the beginning")
}

// Apache Kafka runs the transaction; a broker without transactions refuses its id at once, with Kafka's own error.
func transact(bootstrap, topic string) {
	client := connect(bootstrap, kgo.TransactionalID(topic+"-id"), kgo.DefaultProduceTopic(topic))
	defer client.Close()
	if _, _, err := client.ProducerID(ctx); err != nil {
		fmt.Println("transactions:", err)
	} else {
		fmt.Println("transactions: work")
	}
}

func cleanUp(admin *kadm.Client, topic, group string) {
	groups, err := admin.DescribeGroups(ctx, group)
	must(err)
	expect(groups[group].State, "Empty", "the group is empty when its members have left")
	_, err = admin.DeleteGroup(ctx, group)
	must(err)
	_, err = admin.DeleteTopic(ctx, topic)
	must(err)
	becomes(func() bool { return topics(admin).Has(topic) }, false, "group and topic are deleted")
}

func worked(what string) { fmt.Println("worked:", what) }

func expect[T comparable](found, wanted T, what string) {
	if found != wanted {
		fail(fmt.Sprintf("%s: %v instead of %v", what, found, wanted))
	}
	worked(what)
}

// Apache Kafka's brokers learn of a change a moment after its controller has confirmed it.
func becomes[T comparable](find func() T, wanted T, what string) {
	for find() != wanted && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	expect(find(), wanted, what)
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
