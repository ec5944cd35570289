import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32;

/**
 * A log of files that are preallocated (fallocate), appended to, and forced when a commit asks for
 * it; a full one is forced and followed by the next.
 */
final class TransactionLog {
    record Entry(long number, byte[] value) {}

    record Position(long version, long offset) {}

    interface Consumer {
        void accept(Entry entry) throws IOException;
    }

    private static final int FILE_BYTES = 256 << 10;
    private static final int HEADER = 64;
    private static final long MAGIC = 0x6772617068737401L;

    private final Path folder;
    private FileChannel file;
    private long version;
    private long last;

    TransactionLog(Path folder) {
        this.folder = folder;
    }

    /** Where a log starts that has no checkpoint yet. */
    static Position start() {
        return new Position(1, HEADER);
    }

    private Path path(long version) {
        return folder.resolve("transaction.log." + version);
    }

    static FileChannel open(Path path) throws IOException {
        return FileChannel.open(
                path,
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
    }

    static void preallocate(Path path, long from, long bytes) throws IOException {
        var command = List.of("fallocate", "-o", "" + from, "-l", "" + bytes, path.toString());
        try {
            if (new ProcessBuilder(command).inheritIO().start().waitFor() != 0) {
                throw new IOException("fallocate of " + path + " fails");
            }
        } catch (InterruptedException error) {
            throw new IOException(error);
        }
    }

    static void writeAll(FileChannel channel, ByteBuffer bytes, long at) throws IOException {
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    static ByteBuffer readUpTo(FileChannel channel, int length, long at) throws IOException {
        var bytes = ByteBuffer.allocate(length);
        while (bytes.hasRemaining()) {
            if (channel.read(bytes, at + bytes.position()) <= 0) {
                break;
            }
        }
        return bytes.flip();
    }

    static int crc(byte[] bytes, int from, int to) {
        var crc = new CRC32();
        crc.update(bytes, from, to - from);
        return (int) crc.getValue();
    }

    void forceFolder() throws IOException {
        try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** Goes on in a new file; everything in the one before is forced when this returns. */
    private void rotate() throws IOException {
        if (file != null) {
            file.force(false);
            file.close();
        }
        version++;
        file = open(path(version));
        preallocate(path(version), 0, FILE_BYTES);
        var header = ByteBuffer.allocate(HEADER).putLong(MAGIC).putLong(version);
        header.putLong(last + 1).putInt(crc(header.array(), 0, 24)).clear();
        writeAll(file, header, 0);
        file.force(true);
        file.position(HEADER);
        forceFolder();
    }

    private static ByteBuffer encode(Entry entry) {
        int length = entry.value.length;
        var bytes = ByteBuffer.allocate(16 + length);
        bytes.putInt(length).putLong(entry.number).put(entry.value);
        return bytes.putInt(crc(bytes.array(), 0, 12 + length)).flip();
    }

    /** The entry at the channel's position, which moves behind it; null where none is whole. */
    private static Entry decode(FileChannel channel) throws IOException {
        long at = channel.position();
        var head = readUpTo(channel, 12, at);
        if (head.remaining() < 12) {
            return null;
        }
        int length = head.getInt();
        if (length <= 0 || length > FILE_BYTES) {
            return null;
        }
        var whole = readUpTo(channel, 16 + length, at);
        if (whole.remaining() < 16 + length
                || whole.getInt(12 + length) != crc(whole.array(), 0, 12 + length)) {
            return null;
        }
        channel.position(at + 16 + length);
        return new Entry(whole.getLong(4), Arrays.copyOfRange(whole.array(), 12, 12 + length));
    }

    /** Appends an entry, which is the system's when this returns. */
    synchronized void append(Entry entry) throws IOException {
        var bytes = encode(entry);
        if (file.position() + bytes.remaining() > FILE_BYTES) {
            rotate();
        }
        long at = file.position();
        file.position(at + bytes.remaining());
        writeAll(file, bytes, at);
        last = entry.number;
    }

    synchronized Position position() throws IOException {
        return new Position(version, file.position());
    }

    /** Everything appended before is durable when this returns; others may append meanwhile. */
    void force() throws IOException {
        FileChannel current;
        synchronized (this) {
            current = file;
        }
        try {
            current.force(false);
        } catch (ClosedChannelException rotated) {
            return; // Rotating has forced it.
        }
    }

    /** Removes the files before one. */
    void prune(long first) throws IOException {
        for (long old = first - 1; Files.deleteIfExists(path(old)); old--) {}
        forceFolder();
    }

    /** Hands out what is whole behind a position, and goes on in a new file behind that. */
    void recover(Position from, long before, Consumer consumer) throws IOException {
        last = before;
        long offset = from.offset;
        for (version = from.version; Files.exists(path(version)); version++) {
            try (var channel = open(path(version))) {
                if (!hasHeader(channel)) {
                    break; // It was being made.
                }
                channel.position(offset);
                for (var entry = decode(channel); entry != null; entry = decode(channel)) {
                    if (entry.number != last + 1) {
                        throw new IOException("the log has a gap before " + entry.number);
                    }
                    consumer.accept(entry);
                    last = entry.number;
                }
            }
            offset = HEADER;
        }
        // A file that was being made when it ended is made anew.
        Files.deleteIfExists(path(version));
        version--;
        rotate();
    }

    private boolean hasHeader(FileChannel channel) throws IOException {
        var header = readUpTo(channel, HEADER, 0);
        boolean whole =
                header.remaining() == HEADER && header.getInt(24) == crc(header.array(), 0, 24);
        if (!whole || header.getLong(0) != MAGIC) {
            return false;
        }
        if (header.getLong(16) > last + 1) {
            throw new IOException("the log has a gap before " + header.getLong(16));
        }
        return true;
    }
}
