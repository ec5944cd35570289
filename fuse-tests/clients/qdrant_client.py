"""Qdrant's storage engine (qdrant-edge) as a client of a volume.

A point is `written` when its update has returned: it is in the log, which is a shared mapping. It
is `durable` when a flush has. Points hold a vector, in a mapped file, and a payload; segments are
optimized, with an index, beside that.
"""

import os
import random

import qdrant_edge as qdrant

from embedded import acknowledge, fail, main, text_of

DIMENSIONS = 32
FLUSH_EVERY = 8
OPTIMIZE_EVERY = 160
PAGE = 200


def vector_of(number):
    """Numbers that 32-bit floats hold exactly."""
    source = random.Random(-number)
    return [float(source.randrange(-1000, 1000)) for _ in range(DIMENSIONS)]


def payload_of(number):
    return {"n": number, "text": text_of(number)}


def shard(folder):
    path = os.path.join(folder, "qdrant")
    if os.path.exists(os.path.join(path, "edge_config.json")):
        return qdrant.EdgeShard.load(path)
    vectors = qdrant.EdgeVectorParams(
        size=DIMENSIONS, distance=qdrant.Distance.Euclid, memory=qdrant.Memory.Cold
    )
    optimizers = qdrant.EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=2)
    config = qdrant.EdgeConfig(vectors=vectors, optimizers=optimizers)
    return qdrant.EdgeShard.create(path, config)


def count(engine):
    return engine.count(qdrant.CountRequest(exact=True))


def points(engine):
    offset = None
    while True:
        request = qdrant.ScrollRequest(
            offset=offset, limit=PAGE, with_payload=True, with_vector=True
        )
        page, offset = engine.scroll(request)
        yield from page
        if offset is None:
            return


def look(engine):
    last = 0
    for point in points(engine):
        last += 1
        if point.id != last:
            fail(f"point {last} is missing, found {point.id}")
        if list(point.vector) != vector_of(last) or point.payload != payload_of(last):
            fail(f"point {last} is damaged")
    if count(engine) != last:
        fail(f"{count(engine)} points are counted, {last} are there")
    for wanted in range(1, last + 1, max(1, last // 20)):
        query = qdrant.Query.Nearest(vector_of(wanted))
        found = engine.search(qdrant.SearchRequest(query=query, limit=1))
        if [point.id for point in found] != [wanted]:
            fail(f"a search for point {wanted} finds {found}")
    return last


def write(folder, _mode, last="inf"):
    engine = shard(folder)
    number = count(engine)
    while number < float(last):
        number += 1
        point = qdrant.Point(number, vector_of(number), payload_of(number))
        engine.update(qdrant.UpdateOperation.upsert_points([point]))
        acknowledge("written", number)
        if number % FLUSH_EVERY == 0:
            engine.flush()
            acknowledge("durable", number)
        if number % OPTIMIZE_EVERY == 0:
            engine.optimize()
    engine.close()


def check(folder, _mode):
    """As it was found, and again after every segment has been rewritten."""
    engine = shard(folder)
    last = look(engine)
    engine.optimize()
    if look(engine) != last:
        fail("rewriting the segments has lost points")
    engine.close()
    print(last)


main({"write": write, "check": check})
