import { AsyncLocalStorage } from "node:async_hooks";
import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { encodeHeader, frameType, headerLength } from "./frame.ts";
import { ttrpc } from "./generated/messages.js";
import { TtrpcServer } from "./server.ts";
import { implement } from "./service.ts";
import { Echo } from "./testing/echo.ts";
import { Turns } from "./turns.ts";

/** Turns that come when the test says so. */
function turns(share: number) {
  const work: (() => void)[] = [];
  return {
    turns: new Turns({ share, next: (next) => void work.push(next) }),
    /** Whether there was one to give. */
    pass: (): boolean => {
      const [next] = work.splice(0);
      next?.();
      return next !== undefined;
    },
  };
}

function requests(count: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const message = ttrpc.Request.encode({ service: "test.Echo", method: "Bytes", payload }).finish();
  return Buffer.concat(
    Array.from({ length: count }, (_, index) => {
      const header = Buffer.alloc(headerLength);
      encodeHeader(header, 2 * index + 1, frameType.request, 0, message.length);
      return Buffer.concat([header, message]);
    }),
  );
}

/** A server that writes down whose requests it has begun. */
function serving(name: string, turn: ReturnType<Turns["join"]>, begun: string[]) {
  const server = new TtrpcServer({
    services: [implement(Echo, { Bytes: async (any) => any })],
    turn,
    interceptor: (_context, next) => {
      begun.push(name);
      return next();
    },
  });
  return {
    /** Sends all at once. */
    send: (count: number, payload?: Buffer) => {
      const [caller, served] = duplexPair();
      caller.resume();
      caller.on("error", () => {});
      server.serve(served);
      caller.write(requests(count, payload));
    },
    end: () => server.destroy(),
  };
}

const settled = () => new Promise<void>((resolve) => void setImmediate(resolve));

describe("servers that share a thread", () => {
  it("are asked in turns, however much one is sent at once", async () => {
    const { turns: shared, pass } = turns(4);
    const begun: string[] = [];
    const [loud, quiet] = [serving("loud", shared.join(), begun), serving("quiet", shared.join(), begun)];
    loud.send(100);
    await settled();
    expect(begun).toEqual(Array(4).fill("loud"));
    quiet.send(1);
    await settled();
    expect(begun).toEqual([...Array(4).fill("loud"), "quiet"]);
    while (pass()) await settled();
    expect(begun.filter((name) => name === "loud")).toHaveLength(100);
    loud.end();
    quiet.end();
  });

  it("give each of one server's connections its turn", async () => {
    const { turns: shared, pass } = turns(4);
    const begun: string[] = [];
    const turn = shared.join();
    const one = serving("one", turn, begun);
    const other = serving("other", turn, begun);
    one.send(100);
    other.send(100);
    await settled();
    for (let count = 0; count < 4; count++) {
      pass();
      await settled();
    }
    expect(begun.filter((name) => name === "other").length).toBeGreaterThanOrEqual(8);
    expect(begun.filter((name) => name === "one").length).toBeGreaterThanOrEqual(8);
    one.end();
    other.end();
  });

  it("pay for a long message with the turns that follow", async () => {
    const { turns: shared, pass } = turns(4);
    const begun: string[] = [];
    const server = serving("one", shared.join(), begun);
    // As much as 11 small ones, and so all of the next turn.
    server.send(3, Buffer.alloc(10 * 16 * 1024));
    const perTurn: number[] = [];
    do {
      await settled();
      perTurn.push(begun.length);
    } while (pass());
    expect(perTurn.slice(0, 7)).toEqual([1, 1, 2, 2, 2, 3, 3]);
    server.end();
  });

  it("cost one that is asked now and then no turn at all", async () => {
    const { turns: shared, pass } = turns(4);
    const begun: string[] = [];
    const server = serving("one", shared.join(), begun);
    server.send(1);
    await settled();
    expect(begun).toHaveLength(1);
    expect(pass()).toBe(false);
    server.end();
  });

  it("keep the context of each", async () => {
    const context = new AsyncLocalStorage<string>();
    const { turns: shared, pass } = turns(2);
    const seen: (string | undefined)[] = [];
    const [caller, served] = duplexPair();
    caller.resume();
    context.run("a pod", () => {
      new TtrpcServer({
        services: [implement(Echo, { Bytes: async (any) => any })],
        turn: shared.join(),
        interceptor: (_context, next) => {
          seen.push(context.getStore());
          return next();
        },
      }).serve(served);
    });
    caller.write(requests(6));
    await settled();
    while (context.run("another pod", pass)) await settled();
    expect(seen).toEqual(Array(6).fill("a pod"));
    caller.destroy();
  });
});
