import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.SplittableRandom;

/**
 * Uses files as Neo4j does, which is in no registry: a lock file, a transaction log, a store of
 * fixed records that is written by the page, and one of bytes that is mapped. A checkpoint forces
 * both and removes what the log needs no more; recovery starts at the last one.
 *
 * <p>The protocol is described in fuse-tests/src/databases/client.rs. Exit code 3: it is locked.
 */
final class GraphStore {
    private static final int CHUNK = 1 << 20;
    private static final int PAGE = 8192;
    private static final int NODE = 32;
    private static final int CHECKPOINT = 40;
    private static final int CHECKPOINT_EVERY = 150;
    private static final int COMMITTERS = 4;

    private final Path folder;
    private final FileLock lock;
    private final FileChannel nodes;
    private final FileChannel properties;
    private final FileChannel checkpoints;
    private final TransactionLog log;
    private final List<MappedByteBuffer> chunks = new ArrayList<>();

    // Guarded by this: the end of the log, and what is in it but not in the stores.
    private long appended;
    private final Queue<TransactionLog.Entry> pending = new ArrayDeque<>();

    // Guarded by commitLock.
    private final Object commitLock = new Object();
    private long applied;
    private long checkpointed;
    private long propertyEnd;

    private GraphStore(Path folder) throws IOException {
        this.folder = Files.createDirectories(folder);
        lock = open("store_lock").tryLock();
        if (lock == null) {
            throw new OverlappingFileLockException();
        }
        nodes = open("nodes.store");
        properties = open("properties.store");
        checkpoints = open("checkpoint.log");
        log = new TransactionLog(folder);
        recover();
    }

    private FileChannel open(String name) throws IOException {
        return TransactionLog.open(folder.resolve(name));
    }

    // --- stores

    private MappedByteBuffer chunk(int index) throws IOException {
        while (chunks.size() <= index) {
            long from = (long) chunks.size() * CHUNK;
            if (properties.size() < from + CHUNK) {
                TransactionLog.preallocate(folder.resolve("properties.store"), from, CHUNK);
            }
            chunks.add(properties.map(FileChannel.MapMode.READ_WRITE, from, CHUNK));
        }
        return chunks.get(index);
    }

    /** Puts an entry into both stores; doing it again changes nothing. */
    private void apply(TransactionLog.Entry entry) throws IOException {
        var value = entry.value();
        if (propertyEnd % CHUNK + value.length > CHUNK) {
            propertyEnd = (propertyEnd / CHUNK + 1) * CHUNK;
        }
        chunk((int) (propertyEnd / CHUNK)).put((int) (propertyEnd % CHUNK), value);

        long at = entry.number() * NODE;
        var page = TransactionLog.readUpTo(nodes, PAGE, at / PAGE * PAGE);
        var whole = ByteBuffer.wrap(Arrays.copyOf(page.array(), PAGE));
        whole.position((int) (at % PAGE));
        whole.putLong(entry.number()).putLong(propertyEnd).putInt(value.length);
        whole.putInt(TransactionLog.crc(value, 0, value.length)).clear();
        TransactionLog.writeAll(nodes, whole, at / PAGE * PAGE);
        propertyEnd += value.length;
        applied = entry.number();
    }

    private record Checkpoint(long number, long propertyEnd, TransactionLog.Position position) {}

    private void checkpoint() throws IOException {
        TransactionLog.Position position;
        synchronized (this) {
            if (applied != appended) {
                return; // Others have appended meanwhile; the next one does it.
            }
            position = log.position();
        }
        nodes.force(false);
        for (var chunk : chunks) {
            chunk.force();
        }
        var bytes = ByteBuffer.allocate(CHECKPOINT).putLong(applied).putLong(propertyEnd);
        bytes.putLong(position.version()).putLong(position.offset());
        bytes.putInt(TransactionLog.crc(bytes.array(), 0, 32)).clear();
        TransactionLog.writeAll(checkpoints, bytes, checkpoints.size() / CHECKPOINT * CHECKPOINT);
        checkpoints.force(true);
        checkpointed = applied;
        log.prune(position.version());
    }

    private Checkpoint lastCheckpoint() throws IOException {
        var last = new Checkpoint(0, 0, TransactionLog.start());
        for (long at = 0; ; at += CHECKPOINT) {
            var bytes = TransactionLog.readUpTo(checkpoints, CHECKPOINT, at);
            if (bytes.remaining() < CHECKPOINT
                    || bytes.getInt(32) != TransactionLog.crc(bytes.array(), 0, 32)
                    || bytes.getLong(16) == 0) {
                return last;
            }
            long number = bytes.getLong();
            long end = bytes.getLong();
            var position = new TransactionLog.Position(bytes.getLong(), bytes.getLong());
            last = new Checkpoint(number, end, position);
        }
    }

    private void recover() throws IOException {
        var from = lastCheckpoint();
        applied = from.number;
        propertyEnd = from.propertyEnd;
        log.recover(from.position, from.number, this::apply);
        appended = applied;
        checkpoint();
    }

    // --- clients

    private static byte[] value(long number) {
        var random = new SplittableRandom(number);
        var bytes = new byte[1 + random.nextInt(2000)];
        random.nextBytes(bytes);
        return bytes;
    }

    private synchronized long append() throws IOException {
        var entry = new TransactionLog.Entry(appended + 1, value(appended + 1));
        log.append(entry);
        appended = entry.number();
        pending.add(entry);
        return appended;
    }

    /** Returns when everything up to `number` is durable and in the stores. */
    private void commit(long number) throws IOException {
        synchronized (commitLock) {
            if (applied >= number) {
                return; // A commit beside this one has forced it, too.
            }
            long target;
            synchronized (this) {
                target = appended;
            }
            log.force();
            System.out.println("durable " + target);
            while (applied < target) {
                TransactionLog.Entry entry;
                synchronized (this) {
                    entry = pending.remove();
                }
                apply(entry);
            }
            if (applied - checkpointed >= CHECKPOINT_EVERY) {
                checkpoint();
            }
        }
    }

    private void write(long last) throws InterruptedException {
        var threads = new ArrayList<Thread>();
        for (int number = 0; number < COMMITTERS; number++) {
            var thread = new Thread(() -> appendUntil(last));
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
    }

    private void appendUntil(long last) {
        try {
            long number = 0;
            while (number < last) {
                number = append();
                System.out.println("written " + number);
                commit(number);
            }
        } catch (Throwable error) {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /** Compares everything in the stores, mapped and read, with what it must be. */
    private void check() throws IOException {
        for (long number = 1; number <= applied; number++) {
            var node = TransactionLog.readUpTo(nodes, NODE, number * NODE);
            var expected = value(number);
            long at = node.getLong(8);
            int length = node.getInt(16);
            if (node.getLong(0) != number
                    || length != expected.length
                    || node.getInt(20) != TransactionLog.crc(expected, 0, length)) {
                throw new IOException("node " + number + " is damaged");
            }
            var mapped = new byte[length];
            chunk((int) (at / CHUNK)).get((int) (at % CHUNK), mapped);
            var read = TransactionLog.readUpTo(properties, length, at);
            if (!Arrays.equals(mapped, expected) || !Arrays.equals(read.array(), expected)) {
                throw new IOException("the value of node " + number + " is damaged");
            }
        }
        if (!lock.isValid()) {
            throw new IOException("the lock is gone");
        }
    }

    public static void main(String[] arguments) throws Exception {
        GraphStore store;
        try {
            store = new GraphStore(Path.of(arguments[1], "graph"));
        } catch (OverlappingFileLockException error) {
            System.err.println("the store is locked");
            System.exit(3);
            return;
        }
        store.check();
        if (arguments[0].equals("check")) {
            System.out.println(store.applied);
        } else {
            store.write(arguments.length > 3 ? Long.parseLong(arguments[3]) : Long.MAX_VALUE);
        }
    }
}
