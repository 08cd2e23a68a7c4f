/**
 * A connection to a port of a pod through containerd's streaming server: a WebSocket on which the first byte of each
 * message names a channel, and the first message of each channel is the port. Source: Kubernetes, port forwarding over
 * WebSockets, v4.channel.k8s.io.
 */
const PROTOCOL = "v4.channel.k8s.io";
const CHANNEL = { data: 0, error: 1 } as const;
const PORT_BYTES = 2;

/** Sends a text to the port, and answers with what comes until it matches. */
export async function askForwarded(
  url: string,
  port: number,
  text: string,
  expected: RegExp,
  timeoutMs: number,
): Promise<string> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}?port=${port}`, [PROTOCOL]);
  socket.binaryType = "arraybuffer";
  const heard = { [CHANNEL.data]: Buffer.alloc(0), [CHANNEL.error]: Buffer.alloc(0) };
  try {
    return await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => fail(`no answer matched ${expected} within ${timeoutMs} ms`), timeoutMs);
      const fail = (why: string): void => {
        clearTimeout(timer);
        const said = [CHANNEL.data, CHANNEL.error].map((channel) => heard[channel].subarray(PORT_BYTES).toString());
        reject(new Error(`port ${port} of ${url}: ${why}; it said ${JSON.stringify(said)}`));
      };
      socket.addEventListener("open", () => socket.send(Buffer.concat([Buffer.of(CHANNEL.data), Buffer.from(text)])));
      socket.addEventListener("error", () => fail("the WebSocket failed"));
      socket.addEventListener("close", ({ code, reason }) => fail(`closed: ${code} ${reason}`));
      socket.addEventListener("message", ({ data }) => {
        const bytes = Buffer.from(data as ArrayBuffer);
        const channel = bytes[0] === CHANNEL.data ? CHANNEL.data : CHANNEL.error;
        heard[channel] = Buffer.concat([heard[channel], bytes.subarray(1)]);
        const answer = heard[CHANNEL.data].subarray(PORT_BYTES).toString();
        if (!expected.test(answer)) return;
        clearTimeout(timer);
        resolve(answer);
      });
    });
  } finally {
    socket.close();
  }
}
