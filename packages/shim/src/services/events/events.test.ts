import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { type EventEnvelope, EventForwarder, type EventSink } from "./events.ts";

const quiet = { log: () => {} };
const nothing = new Uint8Array();

/** A containerd whose acknowledgements a test controls. */
class Receiver {
  readonly received: string[] = [];
  connections = 0;
  open = 0;
  answer: (envelope: EventEnvelope) => Promise<void> = async () => {};

  readonly connect = async (): Promise<EventSink> => {
    this.connections++;
    this.open++;
    return {
      forward: async (envelope) => {
        await this.answer(envelope);
        this.received.push(envelope.topic);
      },
      close: () => {
        this.open--;
      },
    };
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const failure = (code: string): Error => Object.assign(new Error(code), { code });

describe("EventForwarder", () => {
  it("forwards one after the other, in order, over one connection", async () => {
    const receiver = new Receiver();
    let underWay = 0;
    receiver.answer = async () => {
      expect(++underWay).toBe(1);
      await turn();
      underWay--;
    };
    const forwarder = new EventForwarder({ connect: receiver.connect, clock: new ManualClock(), log: quiet });
    for (const topic of ["1", "2", "3"]) forwarder.publish(topic, "t", nothing);
    await forwarder.close(1000);
    expect(receiver.received).toEqual(["1", "2", "3"]);
    expect([receiver.connections, receiver.open]).toEqual([1, 0]);
  });

  it("keeps an event until it is acknowledged, reconnecting with growing delays", async () => {
    const clock = new ManualClock();
    const receiver = new Receiver();
    let refusals = 3;
    receiver.answer = async () => {
      if (refusals-- > 0) throw failure("Unavailable");
    };
    const forwarder = new EventForwarder({ connect: receiver.connect, clock, log: quiet });
    forwarder.publish("1", "t", nothing);
    forwarder.publish("2", "t", nothing);
    await turn();
    for (const milliseconds of [50, 100, 199]) await clock.advance(milliseconds);
    expect(receiver.received).toEqual([]);
    await clock.advance(1);
    await turn();
    expect(receiver.received).toEqual(["1", "2"]);
    expect(receiver.connections).toBe(4);
    await forwarder.close(0);
  });

  it("does not hold up other events for one that containerd will never accept", async () => {
    const receiver = new Receiver();
    receiver.answer = async ({ topic }) => {
      if (topic === "bad") throw failure("InvalidArgument");
    };
    const forwarder = new EventForwarder({ connect: receiver.connect, clock: new ManualClock(), log: quiet });
    for (const topic of ["bad", "good"]) forwarder.publish(topic, "t", nothing);
    await forwarder.close(1000);
    expect(receiver.received).toEqual(["good"]);
  });

  it("is bounded: the oldest pending events are dropped, and the drop is logged", async () => {
    const clock = new ManualClock();
    const receiver = new Receiver();
    let away = true;
    const dropped: unknown[] = [];
    const log = {
      log: (_level: string, message: string, fields?: object) =>
        void (message.startsWith("event dropped") && dropped.push(fields)),
    };
    const connect = async (): Promise<EventSink> => {
      if (away) throw failure("ENOENT");
      return receiver.connect();
    };
    const forwarder = new EventForwarder({ connect, clock, log, mostQueued: 3 });
    for (const topic of ["1", "2", "3", "4", "5"]) forwarder.publish(topic, "t", nothing);
    await turn();
    away = false;
    await clock.advance(50);
    await turn();
    expect(receiver.received).toEqual(["1", "4", "5"]);
    expect(dropped).toEqual([{ topic: "2" }, { topic: "3" }]);
    await forwarder.close(0);
  });

  it("drops no exit, however many events are pending, and reports when an event has been sent", async () => {
    const clock = new ManualClock();
    const receiver = new Receiver();
    let away = true;
    const connect = async (): Promise<EventSink> => {
      if (away) throw failure("ENOENT");
      return receiver.connect();
    };
    const forwarder = new EventForwarder({ connect, clock, log: quiet, mostQueued: 3 });
    const left: string[] = [];
    const publish = (topic: string, isKept: boolean): void =>
      void forwarder.publish(topic, "t", nothing, { isKept }).then(() => left.push(topic));
    publish("first", false);
    for (const topic of ["exit 1", "exit 2"]) publish(topic, true);
    for (let count = 0; count < 4_000; count++) publish(`oom ${count}`, false);
    for (const topic of ["exit 3", "exit 4", "exit 5"]) publish(topic, true);
    await turn();
    expect(left).toHaveLength(4_000);
    away = false;
    await clock.advance(50);
    const exits = ["exit 1", "exit 2", "exit 3", "exit 4", "exit 5"];
    await expect.poll(() => receiver.received).toEqual(["first", ...exits]);
    expect(left.slice(4_000)).toEqual(["first", ...exits]);
    await forwarder.close(0);
  });

  it("gives up after its bound when it is closed", async () => {
    const clock = new ManualClock();
    const receiver = new Receiver();
    receiver.answer = () => new Promise(() => {});
    const forwarder = new EventForwarder({ connect: receiver.connect, clock, log: quiet });
    forwarder.publish("1", "t", nothing);
    await turn();
    const closed = forwarder.close(500);
    await clock.advance(500);
    await closed;
    forwarder.publish("2", "t", nothing);
    expect(receiver.received).toEqual([]);
    expect(receiver.open).toBe(0);
  });
});
