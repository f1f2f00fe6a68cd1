import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Decodes events and lets each pass once by its uuid; what is no event of the entity is dropped.
 *
 * <p>Uuids are kept for good. A window store would forget them after a day, but opens a RocksDB for every half a day of event time and
 * partition: while it catches up with months, it would do little else.
 */
final class Deduplication<T extends Entities.Version> implements Processor<byte[], byte[], Long, T> {
    private static final AtomicBoolean STARTED = new AtomicBoolean();

    private final String entity;
    private final Entities.Reader<T> reader;
    private final String storeName;
    private ProcessorContext<Long, T> context;
    private KeyValueStore<UUID, Long> uuids;

    Deduplication(String entity, Entities.Reader<T> reader, String storeName) {
        this.entity = entity;
        this.reader = reader;
        this.storeName = storeName;
    }

    @Override
    public void init(ProcessorContext<Long, T> context) {
        this.context = context;
        uuids = context.getStateStore(storeName);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        if (STARTED.compareAndSet(false, true)) {
            System.out.println("first record " + System.currentTimeMillis());
        }
        Entities.Event<T> event;
        try {
            event = Entities.event(record.value(), entity, reader);
        } catch (Entities.Invalid invalid) {
            return;
        }
        if (event == null) {
            return;
        }
        long ts = event.version().ts();
        if (uuids.putIfAbsent(event.uuid(), ts) != null) {
            return;
        }
        // With the time of the record, not of the event: topics forget what is old by that.
        context.forward(record.withKey(event.id()).withValue(event.version()));
    }
}
