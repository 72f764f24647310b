"""Uploads: pictures only, bounded in bytes and pixels, each for its visitor alone."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.live.served import ANNA, BERT, TOKEN, client, png
from tests.report import small
from zfcuda.live.limits import Limits
from zfcuda.live.offered import of_folder
from zfcuda.live.uploads import Room, UploadError, read_upload
from zfcuda.live.visitors import Visitors

ONE = png(small.drawing(1))


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few kilobytes that says it is 3.6 billion pixels large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def test_a_picture_comes_back_upright_and_without_what_else_was_in_the_file() -> None:
    picture = Image.new("RGB", (40, 20), (200, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "a camera"
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=exif)
    with client() as c:
        answer = c.post(("side.jpg", stream.getvalue())).json()
        [found] = answer["pictures"]
        assert (found["name"], found["width"], found["height"], answer["refused"]) == ("side.jpg", 20, 40, [])
        back = c.get(f"pictures/{found['id']}?visitor={ANNA}")
        assert back.headers["content-type"] == "image/png" and b"a camera" not in back.content
        assert Image.open(io.BytesIO(back.content)).size == (20, 40)


def test_a_large_picture_comes_back_as_large_as_a_screen() -> None:
    with client() as c:
        identity = c.upload(Image.new("RGB", (3000, 1500)))
        back = c.get(f"pictures/{identity}?visitor={ANNA}")
        assert back.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(back.content)).size == (1600, 800)


def test_what_is_no_picture_is_refused_and_the_others_are_taken() -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    broken = [
        ("text.png", b"no picture"),
        ("page.svg", svg),
        ("p.eps", eps),
        ("half.png", ONE[:200]),
        ("none.png", b""),
    ]
    with client() as c:
        answer = c.post(*broken, ("good.png", ONE)).json()
        assert [each["name"] for each in answer["pictures"]] == ["good.png"]
        assert [each["name"] for each in answer["refused"]] == [name for name, _ in broken]
        assert all(each["reason"].startswith(each["name"]) for each in answer["refused"])


def test_a_bomb_is_refused_by_its_header() -> None:
    import tracemalloc

    with client() as c:
        tracemalloc.start()
        [refused] = c.post(("bomb.png", bomb())).json()["refused"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "too large, more than the 50 million pixels" in refused["reason"]
        assert peak < 20e6
        [refused] = c.post(("bomb.png", bomb(8000, 7000))).json()["refused"]  # Pillow itself would take it
        assert "too large" in refused["reason"]


def test_a_visitor_sees_his_own_pictures_alone() -> None:
    with client() as c:
        anna, bert = c.upload(small.drawing(1), ANNA), c.upload(small.drawing(1), BERT)
        assert anna != bert
        assert c.get(f"pictures/{anna}?visitor={ANNA}").status_code == 200
        for path in (f"pictures/{anna}?visitor={BERT}", f"pictures/{anna}", f"pictures/{anna}?visitor=x"):
            assert c.get(path).status_code == 404
        assert c.http.delete(f"/{TOKEN}/pictures/{anna}?visitor={BERT}").status_code == 404
        assert c.http.delete(f"/{TOKEN}/pictures/{anna}?visitor={ANNA}").status_code == 204
        assert c.get(f"pictures/{anna}?visitor={ANNA}").status_code == 404


@pytest.mark.parametrize("visitor", ["", "short", "x" * 65, "../../etc/passwd", "visitor anna"])
def test_a_visitor_has_to_say_who_he_is(visitor: str) -> None:
    with client() as c:
        answer = c.post(("a.png", ONE), visitor=visitor)
        assert answer.status_code == 400 and answer.json()["error"].startswith("visitor: expected")


def test_bounds_of_one_picture_of_a_visitor_and_of_all() -> None:
    noise = [png(Image.fromarray(np.random.default_rng(i).integers(0, 256, (30, 30, 3), np.uint8))) for i in range(6)]
    size = len(noise[0])
    with client(limits=Limits(bytes=size + 100, pictures=2, kept=20 * size, kept_in_all=int(4.9 * size))) as c:
        large = png(Image.fromarray(np.random.default_rng(9).integers(0, 256, (60, 60, 3), np.uint8)))
        [refused] = c.post(("large.png", large)).json()["refused"]
        assert refused["reason"].startswith("large.png: larger than")
        answer = c.post(*((f"{i}.png", data) for i, data in enumerate(noise[:3]))).json()
        assert [each["name"] for each in answer["pictures"]] == ["0.png", "1.png"]
        assert "2 pictures are here already" in answer["refused"][0]["reason"]
        assert len(c.post(("again.png", noise[0])).json()["pictures"]) == 1  # the same picture is there once
        for visitor, data in (("visitor-2", noise[3]), ("visitor-2", noise[4])):
            assert c.post(("a.png", data), visitor=visitor).json()["pictures"]
        [refused] = c.post(("a.png", noise[5]), visitor="visitor-3").json()["refused"]
        assert "memory for pictures is full" in refused["reason"]


def test_uploads_are_let_go_a_while_after_the_last_connection() -> None:
    now = [0.0]
    visitors = Visitors(Limits(idle=100, visitors=2), lambda: now[0])
    anna = visitors.came(ANNA)
    kept = visitors.add(anna, ONE, "a.png")
    now[0] = 500.0
    assert visitors.tidy() == {kept.content}  # she is still there
    visitors.left(anna)
    now[0] = 599.0
    assert visitors.tidy() == {kept.content}
    now[0] = 601.0
    assert visitors.tidy() == set() and visitors.known(ANNA) is None


def test_visitors_are_bounded() -> None:
    now = [0.0]
    visitors = Visitors(Limits(idle=100, visitors=2, sockets=2), lambda: now[0])
    visitors.visitor("visitor-1")
    visitors.came("visitor-2")
    with pytest.raises(ValueError, match="2 visitors already"):
        visitors.visitor("visitor-3")
    now[0] = 200.0
    visitors.visitor("visitor-3")  # in the place of the first, who has left
    visitors.came("visitor-2")
    with pytest.raises(ValueError, match="2 connections"):
        visitors.came("visitor-2")


def multipart(*parts: bytes, boundary: bytes = b"xyz") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def part(data: bytes = b"data", name: bytes = b"picture", headers: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"; filename="a.png"\r\n' + headers + b"\r\n" + data


def read(body: bytes, limits: Limits | None = None, room: Room | None = None, **headers: str) -> list[bytes | None]:
    """What is read of a body that comes in small pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        for i in range(0, len(body), 100):
            yield body[i : i + 100]

    limits = limits or Limits()
    said = {"content-type": "multipart/form-data; boundary=xyz"} | {k.replace("_", "-"): v for k, v in headers.items()}
    parts = asyncio.run(read_upload(said, chunks(), limits, room or Room(limits)))
    return [None if each.data is None else bytes(each.data) for each in parts]


def test_reading_of_a_body() -> None:
    many = bytes(range(256)) * 20
    assert read(multipart(part(many), part(b"x", name=b"other"), part(b""))) == [many, b""]
    assert read(multipart(part(many)), Limits(bytes=1000)) == [None]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (multipart(*[part()] * 201), 413),
        (multipart(part(headers=b"X-Long: " + b"a" * 10_000 + b"\r\n")), 413),
        (multipart(part(headers=b"X-Short: a\r\n" * 1000)), 413),
        (multipart(part())[:-8], 400),
        (b"", 400),
        (b"no multipart at all", 400),
        (multipart(part(bytes(3000))), 413),
    ],
)
def test_bodies_that_are_not_read_on(body: bytes, status: int) -> None:
    limits, room = (
        Limits(kept=200_000 if len(body) > 5000 or b"\0" not in body else 2000),
        Room(Limits(kept_in_all=10**6)),
    )
    with pytest.raises(UploadError) as said:
        read(body, limits, room)
    assert said.value.status in (status, 400)  # the parser has bounds of its own, which change from version to version
    room.take(10**6)  # what it took is given back


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "application/json"}, 415),
        ({"content_type": "multipart/form-data"}, 415),
        ({"content_type": "multipart/form-data; boundary=" + "x" * 300}, 415),
        ({"content_type": ""}, 415),
        ({"content_length": "9" * 15}, 413),
        ({"content_length": "-1"}, 413),
        ({"content_length": "9" * 5000}, 413),
    ],
)
def test_bodies_that_are_not_read_at_all(headers: dict[str, str], status: int) -> None:
    with pytest.raises(UploadError) as said:
        read(multipart(part()), **headers)
    assert said.value.status == status


def test_uploads_under_way_share_a_room() -> None:
    room = Room(Limits(kept_in_all=1000))
    room.take(900)
    with pytest.raises(UploadError, match="too much") as said:
        read(multipart(part(bytes(500))), room=room)
    assert said.value.status == 503
    room.give(900)
    assert read(multipart(part(bytes(500))), room=room) == [bytes(500)]


def test_an_upload_that_stops_coming_is_given_up() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"--xyz"
        await asyncio.sleep(60)

    limits = Limits(patience=0.01)
    with pytest.raises(UploadError, match="stopped") as said:
        asyncio.run(read_upload({"content-type": "multipart/form-data; boundary=xyz"}, chunks(), limits, Room(limits)))
    assert said.value.status == 408


def test_a_folder_is_offered_and_its_path_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    small.drawing(1).save(tmp_path / "cats" / "a.png")
    (tmp_path / "cats" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "cats" / "link.png").symlink_to(tmp_path / "secret.txt")
    with client(offered=of_folder(tmp_path, Limits())) as c:
        offered = {each["name"]: each["id"] for each in c.get("networks").json()["offered"]}
        assert set(offered) == {"cats/a.png", "cats/broken.png", "cats/link.png"}
        assert c.get(f"pictures/{offered['cats/a.png']}").status_code == 200
        assert c.http.delete(f"/{TOKEN}/pictures/{offered['cats/a.png']}?visitor={ANNA}").status_code == 404
        for name in ("cats/broken.png", "cats/link.png"):
            answer = c.get(f"pictures/{offered[name]}")
            assert answer.status_code == 404 and "secret" not in answer.text and str(tmp_path) not in answer.text
            with c.work() as talk:
                said = talk.ask("look", picture=offered[name], network="small")["error"]
                assert said.startswith(name) and str(tmp_path) not in said


def test_one_picture_is_offered_by_its_name_and_what_is_no_picture_is_told_at_once(tmp_path: Path) -> None:
    Image.new("RGB", (9, 7), "red").save(tmp_path / "red.png")
    (tmp_path / "text.png").write_text("no picture")
    assert [kept.name for kept in of_folder(tmp_path / "red.png", Limits()).values()] == ["red.png"]
    with pytest.raises(ValueError, match=r"text\.png"):
        of_folder(tmp_path / "text.png", Limits())
