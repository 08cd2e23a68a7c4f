/**
 * A stream of containerd's streaming server, to which Exec and Attach lead: a WebSocket on which the first byte of each
 * message names a channel. Source: Kubernetes, remotecommand subprotocol v4.channel.k8s.io.
 */
const PROTOCOL = "v4.channel.k8s.io";
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

export interface StreamEnd {
  /** The exit code; 0 also where the stream has none, as that of an attach. */
  readonly status: number;
  readonly message: string;
}

export class CriStream {
  /** Resolves with the status that the server sends last; rejects when the connection breaks off before. */
  readonly ended: Promise<StreamEnd>;
  readonly #socket: WebSocket;
  readonly #watchers = new Set<() => void>();
  readonly #decoder = new TextDecoder();
  #stdout = "";
  #stderr = "";
  #isClosed = false;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    const ended = Promise.withResolvers<StreamEnd>();
    this.ended = ended.promise;
    ended.promise.catch(() => {});
    socket.addEventListener("message", ({ data }) => {
      const bytes = new Uint8Array(data as ArrayBuffer);
      const text = this.#decoder.decode(bytes.subarray(1));
      if (bytes[0] === CHANNEL.stdout) this.#stdout += text;
      else if (bytes[0] === CHANNEL.stderr) this.#stderr += text;
      else if (bytes[0] === CHANNEL.error && text !== "") ended.resolve(endOf(text));
      this.#notify();
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#isClosed = true;
      ended.reject(new Error(`the stream was closed without a status: ${code} ${reason}`));
      this.#notify();
    });
  }

  static async open(url: string): Promise<CriStream> {
    const socket = new WebSocket(url.replace(/^http/, "ws"), [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    const stream = new CriStream(socket);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () =>
        reject(new Error(`cannot open a WebSocket of protocol ${PROTOCOL} to ${url}`)),
      );
    });
    return stream;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  write(text: string): void {
    this.#send(CHANNEL.stdin, text);
  }

  /** In characters. */
  resize(width: number, height: number): void {
    this.#send(CHANNEL.resize, JSON.stringify({ Width: width, Height: height }));
  }

  /** Resolves once the standard output so far matches. */
  outputMatches(pattern: RegExp, timeoutMs: number): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(limit);
        this.#watchers.delete(look);
        settle();
      };
      const fail = (why: string): void =>
        finish(() => reject(new Error(`no ${pattern} in the stream's output ${why}: ${JSON.stringify(this.#stdout)}`)));
      const look = (): void => {
        const match = this.#stdout.match(pattern);
        if (match !== null) finish(() => resolve(match));
        else if (this.#isClosed) fail("before it ended");
      };
      const limit = setTimeout(() => fail(`within ${timeoutMs} ms`), timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  close(): void {
    this.#socket.close();
  }

  #send(channel: number, text: string): void {
    this.#socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)]));
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** The status is a Kubernetes Status object; an exit code other than 0 is among its causes. */
function endOf(text: string): StreamEnd {
  const {
    status,
    message = "",
    details,
  } = JSON.parse(text) as {
    readonly status: string;
    readonly message?: string;
    readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
  };
  if (status === "Success") return { status: 0, message };
  const code = details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  return { status: code === undefined ? -1 : Number(code), message };
}
