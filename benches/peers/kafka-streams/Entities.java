import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.time.format.DateTimeParseException;
import java.util.UUID;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** The studio's entities as tables keep them, and how they are read from events. Money is in cents. */
final class Entities {
    private Entities() {}

    static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final long DAY_MS = 24 * 60 * 60 * 1000L;

    /** A version of an entity: the highest time wins, whether it is a state or a deletion. */
    interface Version {
        long ts();

        boolean deleted();
    }

    record Production(long ts, boolean deleted, String title, String genre, String region, String distributor, String director,
            String releaseDate, String status, Long plannedBudget) implements Version {}

    record Talent(long ts, boolean deleted, Long productionId, String name, String role) implements Version {}

    record Schedule(long ts, boolean deleted, Long productionId) implements Version {}

    record Budget(long ts, boolean deleted, Long productionId, String department, Long amount) implements Version {}

    record Payment(long ts, boolean deleted, Long productionId, Long budgetId, Long talentId, Long amount, String currency, String dueOn,
            String status) implements Version {}

    record CashFlow(long ts, boolean deleted, Long productionId, String direction, Long amount, Long bookedAt) implements Version {}

    /** Reads an entity's state; throws {@link Invalid} if it is none. */
    interface Reader<T extends Version> {
        T read(long ts, boolean deleted, Data data);
    }

    /** An event that breaks the contract of the envelope: it changes nothing. */
    static final class Invalid extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Invalid(String reason) {
            super(reason, null, false, false);
        }
    }

    record Event<T extends Version>(UUID uuid, long id, T version) {}

    static Production production(long ts, boolean deleted, Data data) {
        return new Production(ts, deleted, data.text("title"), data.text("genre"), data.text("region"), data.text("distributor"),
                data.text("director"), data.date("release_date"), data.text("status"), data.cents("planned_budget"));
    }

    static Talent talent(long ts, boolean deleted, Data data) {
        return new Talent(ts, deleted, data.integer("production_id"), data.text("name"), data.text("role"));
    }

    static Schedule schedule(long ts, boolean deleted, Data data) {
        return new Schedule(ts, deleted, data.integer("production_id"));
    }

    static Budget budget(long ts, boolean deleted, Data data) {
        return new Budget(ts, deleted, data.integer("production_id"), data.text("department"), data.cents("amount"));
    }

    static Payment payment(long ts, boolean deleted, Data data) {
        return new Payment(ts, deleted, data.integer("production_id"), data.integer("budget_id"), data.integer("talent_id"),
                data.cents("amount"), data.text("currency"), data.date("due_on"), data.text("status"));
    }

    static CashFlow cashFlow(long ts, boolean deleted, Data data) {
        CashFlow flow = new CashFlow(ts, deleted, data.integer("production_id"), data.text("direction"), data.cents("amount"),
                data.integer("booked_at"));
        if (flow.bookedAt != null && flow.bookedAt > System.currentTimeMillis() + DAY_MS) {
            throw new Invalid("far in the future");
        }
        return flow;
    }

    /** Reads an event of the entity; {@code null} if it only says that something was read. */
    static <T extends Version> Event<T> event(byte[] bytes, String entity, Reader<T> reader) {
        JsonNode node;
        try {
            node = JSON.readTree(bytes);
        } catch (IOException e) {
            throw new Invalid("not JSON");
        }
        if (!(node != null && node.isObject())) {
            throw new Invalid("not an object");
        }
        Data envelope = new Data(node);
        UUID uuid = uuid(required(envelope.text("uuid")));
        String type = required(envelope.text("type"));
        long ts = required(envelope.integer("ts"));
        long id = required(envelope.integer("id"));
        if (!entity.equals(envelope.text("entity"))) {
            throw new Invalid("wrong entity");
        }
        if (ts > System.currentTimeMillis() + DAY_MS) {
            throw new Invalid("far in the future");
        }
        JsonNode data = node.get("data");
        return switch (type) {
            case "read" -> null;
            case "delete" -> new Event<>(uuid, id, reader.read(ts, true, new Data(JSON.createObjectNode())));
            case "create", "update" -> {
                if (data == null || !data.isObject()) {
                    throw new Invalid("data missing");
                }
                yield new Event<>(uuid, id, reader.read(ts, false, new Data(data)));
            }
            default -> throw new Invalid("unknown type");
        };
    }

    private static UUID uuid(String text) {
        try {
            return UUID.fromString(text);
        } catch (IllegalArgumentException e) {
            throw new Invalid("not a uuid");
        }
    }

    private static <T> T required(T value) {
        if (value == null) {
            throw new Invalid("field missing");
        }
        return value;
    }

    /** Strictly typed access to the fields of an object. */
    record Data(JsonNode node) {
        private JsonNode field(String name) {
            JsonNode value = node.get(name);
            return value == null || value.isNull() ? null : value;
        }

        String text(String name) {
            JsonNode value = field(name);
            if (value != null && !value.isTextual()) {
                throw new Invalid("wrong type");
            }
            return value == null ? null : value.textValue();
        }

        Long integer(String name) {
            JsonNode value = field(name);
            if (value != null && !value.canConvertToLong()) {
                throw new Invalid("wrong type");
            }
            return value == null ? null : value.longValue();
        }

        Long cents(String name) {
            JsonNode value = field(name);
            if (value == null) {
                return null;
            }
            try {
                return new BigDecimal(value.asText()).movePointRight(2).longValueExact();
            } catch (ArithmeticException | NumberFormatException e) {
                throw new Invalid("wrong type");
            }
        }

        String date(String name) {
            String text = text(name);
            try {
                return text == null ? null : LocalDate.parse(text).toString();
            } catch (DateTimeParseException e) {
                throw new Invalid("wrong type");
            }
        }
    }

    /** What Kafka Streams keeps in its stores and sends over its own topics. */
    static <T> Serde<T> serde(Class<T> type) {
        TypeReference<T> reference = new TypeReference<>() {
            @Override
            public java.lang.reflect.Type getType() {
                return type;
            }
        };
        var reader = JSON.readerFor(reference);
        var writer = JSON.writerFor(reference);
        return Serdes.serdeFrom((topic, value) -> {
            try {
                return value == null ? null : writer.writeValueAsBytes(value);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }, (topic, bytes) -> {
            try {
                return bytes == null ? null : reader.<T>readValue(bytes);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }
}
