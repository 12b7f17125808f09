/**
 * The protobuf wire format, writing. A message is a list of pieces whose sizes are known;
 * payloads that are too large for memory stay promises until the bytes are sent.
 */

/** Bytes that are made only when they are sent. */
export interface LazyBytes {
  readonly byteLength: number;
  chunks(): AsyncIterable<Uint8Array>;
}

type Piece = Uint8Array | LazyBytes;

const utf8 = new TextEncoder();

export class Message {
  #pieces: Piece[] = [];
  /** Bytes so far, in all pieces. */
  byteLength = 0;
  /** Small writes gather here before they become a piece. */
  #tail = new Uint8Array(256);
  #used = 0;

  #byte(value: number): void {
    if (this.#used === this.#tail.byteLength) this.#grow(1);
    this.#tail[this.#used++] = value;
    this.byteLength++;
  }

  #grow(extra: number): void {
    const larger = new Uint8Array(Math.max(this.#tail.byteLength * 2, this.#used + extra));
    larger.set(this.#tail.subarray(0, this.#used));
    this.#tail = larger;
  }

  #append(bytes: Uint8Array): void {
    if (this.#used + bytes.byteLength > this.#tail.byteLength) this.#grow(bytes.byteLength);
    this.#tail.set(bytes, this.#used);
    this.#used += bytes.byteLength;
    this.byteLength += bytes.byteLength;
  }

  #flush(): void {
    if (this.#used === 0) return;
    this.#pieces.push(this.#tail.subarray(0, this.#used));
    this.#tail = new Uint8Array(256);
    this.#used = 0;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#byte(rest);
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type);
  }

  /** A signed 64-bit integer; values beyond the range become its ends. */
  int(field: number, value: number): void {
    this.#tag(field, 0);
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      this.#varint(value);
      return;
    }
    const whole = BigInt(value);
    const clamped = whole > int64Max ? int64Max : whole < -int64Max - 1n ? -int64Max - 1n : whole;
    let rest = BigInt.asUintN(64, clamped);
    while (rest >= 0x80n) {
      this.#byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#byte(Number(rest));
  }

  float(field: number, value: number): void {
    this.#tag(field, 5);
    scratch.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.#byte(scratch.getUint8(i));
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#tag(field, 2);
    this.#varint(bytes.byteLength);
    this.#append(bytes);
  }

  text(field: number, text: string): void {
    this.bytes(field, utf8.encode(text));
  }

  lazy(field: number, payload: LazyBytes): void {
    this.#tag(field, 2);
    this.#varint(payload.byteLength);
    this.#flush();
    this.#pieces.push(payload);
    this.byteLength += payload.byteLength;
  }

  /** A nested message; it must not change afterwards. */
  message(field: number, message: Message): void {
    this.#tag(field, 2);
    this.#varint(message.byteLength);
    for (const piece of message.pieces()) {
      if (piece instanceof Uint8Array) {
        this.#append(piece);
      } else {
        this.#flush();
        this.#pieces.push(piece);
        this.byteLength += piece.byteLength;
      }
    }
  }

  /** Everything in order. */
  pieces(): readonly Piece[] {
    this.#flush();
    return this.#pieces;
  }
}

const int64Max = 2n ** 63n - 1n;
const scratch = new DataView(new ArrayBuffer(4));
