import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.Stores;

/**
 * The job of ../studio_peers.sql with Kafka Streams' DSL: {@code Studio BOOTSTRAP STATE_FOLDER THREADS}.
 *
 * <p>Says on standard output when it has read its first record. Ends when it is asked to, cleanly.
 */
public final class Studio {
    private static final Serde<Long> ID = Serdes.Long();
    private static final int PARTITIONS = 4;
    private static final String START_OF_DAY = "T00:00:00.000Z";

    private Studio() {}

    /** A sum in cents and how many were added. */
    record Sum(long cents, long count) {
        static Sum of(Long cents) {
            return new Sum(cents == null ? 0 : cents, 1);
        }

        static Sum add(Sum sum, Sum part) {
            return new Sum((sum == null ? 0 : sum.cents) + part.cents, (sum == null ? 0 : sum.count) + part.count);
        }

        /** Nothing is left of a sum of nothing. */
        static Sum subtract(Sum sum, Sum part) {
            return sum.count == part.count ? null : new Sum(sum.cents - part.cents, sum.count - part.count);
        }
    }

    record Flow(long in, long out, long entries) {
        static Flow add(Flow sum, Flow part) {
            return sum == null ? part : new Flow(sum.in + part.in, sum.out + part.out, sum.entries + part.entries);
        }

        static Flow subtract(Flow sum, Flow part) {
            return sum.entries == part.entries ? null : new Flow(sum.in - part.in, sum.out - part.out, sum.entries - part.entries);
        }
    }

    record Finance(Entities.Production production, Sum budgets, Sum payments, Sum talents, Sum phases) {}

    record Enriched(Entities.Payment payment, String title, String region, String department, Long budgetAmount, String talentName,
            String role) {}

    public static void main(String[] arguments) throws InterruptedException {
        StreamsBuilder builder = new StreamsBuilder();
        build(builder);
        Properties settings = settings(arguments[0], arguments[1], Integer.parseInt(arguments[2]));
        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
        ended.await();
    }

    /** Settings whose reasons stand in ../README.md. */
    static Properties settings(String bootstrap, String folder, int threads) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "studio-streams");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put(StreamsConfig.mainConsumerPrefix("group.instance.id"), "studio-streams-1");
        settings.put(StreamsConfig.mainConsumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 20);
        return settings;
    }

    static void build(StreamsBuilder builder) {
        var production = table(builder, "production", Entities.Production.class, Entities::production);
        var talent = table(builder, "talent", Entities.Talent.class, Entities::talent);
        var schedule = table(builder, "schedule", Entities.Schedule.class, Entities::schedule);
        var budget = table(builder, "budget", Entities.Budget.class, Entities::budget);
        var payment = table(builder, "payment", Entities.Payment.class, Entities::payment);
        var cashFlow = table(builder, "cash_flow", Entities.CashFlow.class, Entities::cashFlow);

        var budgets = sum("budgets", budget, (id, row) -> KeyValue.pair(row.productionId(), Sum.of(row.amount())));
        var payments = sum("payments", payment, (id, row) -> KeyValue.pair(row.productionId(), Sum.of(row.amount())));
        var talents = sum("talents", talent, (id, row) -> KeyValue.pair(row.productionId(), Sum.of(null)));
        var phases = sum("phases", schedule, (id, row) -> KeyValue.pair(row.productionId(), Sum.of(null)));
        production.mapValues(row -> new Finance(row, null, null, null, null))
                .leftJoin(budgets, (row, sum) -> new Finance(row.production, sum, null, null, null))
                .leftJoin(payments, (row, sum) -> new Finance(row.production, row.budgets, sum, null, null))
                .leftJoin(talents, (row, sum) -> new Finance(row.production, row.budgets, row.payments, sum, null))
                .leftJoin(phases, (row, sum) -> new Finance(row.production, row.budgets, row.payments, row.talents, sum))
                .toStream()
                .map((id, row) -> KeyValue.pair(id.toString(), row == null ? null : finance(id, row)))
                .to("finance.production", Produced.with(Serdes.String(), Serdes.ByteArray()));

        var enriched = Entities.serde(Enriched.class);
        payment.join(production, Entities.Payment::productionId,
                        (row, by) -> new Enriched(row, by.title(), by.region(), null, null, null, null), Materialized.with(ID, enriched))
                .leftJoin(budget, row -> row.payment.budgetId(), (row, of) -> of == null ? row : new Enriched(row.payment, row.title, row.region,
                        of.department(), of.amount(), null, null), Materialized.with(ID, enriched))
                .leftJoin(talent, row -> row.payment.talentId(), (row, to) -> to == null ? row : new Enriched(row.payment, row.title, row.region,
                        row.department, row.budgetAmount, to.name(), to.role()), Materialized.with(ID, enriched))
                .toStream()
                .map((id, row) -> KeyValue.pair(id.toString(), row == null ? null : enriched(id, row)))
                .to("finance.payment_enriched", Produced.with(Serdes.String(), Serdes.ByteArray()));

        cashFlow.filter((id, row) -> row.bookedAt() != null && row.productionId() != null)
                .groupBy((id, row) -> KeyValue.pair(row.productionId() + "|" + day(row.bookedAt()), flow(row)),
                        Grouped.with("daily", Serdes.String(), Entities.serde(Flow.class)))
                .aggregate(() -> null, (key, part, sum) -> Flow.add(sum, part), (key, part, sum) -> Flow.subtract(sum, part),
                        Materialized.with(Serdes.String(), Entities.serde(Flow.class)))
                .toStream()
                .map(Studio::daily)
                .to("finance.cash_flow_daily", Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    /**
     * The current state of an entity: each event once by its uuid, the newest version wins. Partitioned again by
     * id: the topics are not by the hash that Kafka Streams uses, and joins need both sides to agree.
     */
    static <T extends Entities.Version> KTable<Long, T> table(StreamsBuilder builder, String entity, Class<T> type, Entities.Reader<T> reader) {
        Serde<T> serde = Entities.serde(type);
        String store = entity + "-uuids";
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(store), Serdes.UUID(), Serdes.Long())
                .withCachingEnabled());
        KStream<Long, T> versions = builder
                .stream("studio." + entity, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Deduplication<>(entity, reader, store), Named.as(entity + "-deduplication"), store);
        return versions
                .repartition(Repartitioned.<Long, T>as(entity).withKeySerde(ID).withValueSerde(serde).withNumberOfPartitions(PARTITIONS))
                .groupByKey(Grouped.with(ID, serde))
                .aggregate(() -> null, (id, version, newest) -> newest == null || version.ts() >= newest.ts() ? version : newest,
                        Materialized.<Long, T>as(Stores.persistentKeyValueStore(entity)).withKeySerde(ID).withValueSerde(serde))
                .filter((id, version) -> !version.deleted());
    }

    static <T> KTable<Long, Sum> sum(String name, KTable<Long, T> table, org.apache.kafka.streams.kstream.KeyValueMapper<Long, T, KeyValue<Long, Sum>> part) {
        Serde<Sum> serde = Entities.serde(Sum.class);
        return table.groupBy(part, Grouped.with(name, ID, serde))
                .aggregate(() -> null, (id, one, sum) -> Sum.add(sum, one), (id, one, sum) -> Sum.subtract(sum, one), Materialized.with(ID, serde));
    }

    private static LocalDate day(long ms) {
        return LocalDate.ofInstant(Instant.ofEpochMilli(ms), ZoneOffset.UTC);
    }

    private static Flow flow(Entities.CashFlow row) {
        long cents = row.amount() == null ? 0 : row.amount();
        return new Flow("in".equals(row.direction()) ? cents : 0, "out".equals(row.direction()) ? cents : 0, 1);
    }

    private static KeyValue<String, byte[]> daily(String key, Flow row) {
        String[] parts = key.split("\\|");
        String day = parts[1] + START_OF_DAY;
        ObjectNode columns = Entities.JSON.createObjectNode().put("production_id", Long.parseLong(parts[0])).put("day", day);
        String name = new String(bytes(columns), java.nio.charset.StandardCharsets.UTF_8);
        if (row == null) {
            return KeyValue.pair(name, null);
        }
        columns.put("cash_in", money(row.in)).put("cash_out", money(row.out)).put("net", money(row.in - row.out)).put("entries", row.entries);
        return KeyValue.pair(name, bytes(columns));
    }

    private static byte[] finance(long id, Finance row) {
        Sum none = new Sum(0, 0);
        Sum budgets = row.budgets == null ? none : row.budgets;
        Sum payments = row.payments == null ? none : row.payments;
        Entities.Production of = row.production;
        return bytes(Entities.JSON.createObjectNode()
                .put("production_id", id).put("title", of.title()).put("genre", of.genre()).put("region", of.region())
                .put("distributor", of.distributor()).put("director", of.director()).put("release_date", of.releaseDate())
                .put("status", of.status()).put("planned_budget", money(of.plannedBudget()))
                .put("budget_total", money(budgets.cents)).put("budget_lines", budgets.count)
                .put("paid_total", money(payments.cents)).put("payments", payments.count)
                .put("talents", row.talents == null ? 0 : row.talents.count).put("phases", row.phases == null ? 0 : row.phases.count)
                .put("variance", money(budgets.cents - payments.cents)).put("over_budget", payments.cents > budgets.cents));
    }

    private static byte[] enriched(long id, Enriched row) {
        Entities.Payment of = row.payment;
        return bytes(Entities.JSON.createObjectNode()
                .put("payment_id", id).put("production_id", of.productionId()).put("title", row.title).put("region", row.region)
                .put("budget_id", of.budgetId()).put("department", row.department).put("budget_amount", money(row.budgetAmount))
                .put("talent_id", of.talentId()).put("talent_name", row.talentName).put("role", row.role)
                .put("amount", money(of.amount())).put("currency", of.currency()).put("due_on", of.dueOn()).put("status", of.status()));
    }

    private static String money(Long cents) {
        return cents == null ? null : java.math.BigDecimal.valueOf(cents, 2).toPlainString();
    }

    private static byte[] bytes(ObjectNode row) {
        try {
            return Entities.JSON.writeValueAsBytes(row);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }
}
