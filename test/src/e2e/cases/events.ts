import assert from "node:assert/strict";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import type { Case, CaseContext } from "../suite.ts";
import { runContainer } from "./ctr.ts";

interface SeenEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly body: { readonly [field: string]: unknown };
}

/** A line of `ctr events`: time (three words and a zone), namespace, topic, and the event as JSON. */
function parseEvents(text: string): SeenEvent[] {
  return text.split("\n").flatMap((line) => {
    const match = line.match(/ (\S+) (\/\S+) (\{.*\})$/);
    if (match === null) return [];
    const [, namespace = "", topic = "", body = ""] = match;
    return [{ namespace, topic, body: JSON.parse(body) as SeenEvent["body"] }];
  });
}

async function eventsInOrder(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const listener = containerd.startCtr(["events"], { signal: context.signal });
  try {
    // ctr does not say when it listens: events are made until it shows one.
    await poll(
      "ctr events to listen",
      async () => {
        await containerd.mustCtr(["namespace", "label", containerd.namespace, `e2e=${performance.now()}`]);
        return listener.outputMatches(/\/namespaces\/update/, 200).catch(() => undefined);
      },
      { timeoutMs: READY_MS, signal: context.signal },
    );
    const id = context.newId("events");
    const result = await runContainer(context, { id, command: ["sh", "-c", "exit 5"] });
    assert.equal(result.status, 5, result.stderr);
    await listener.outputMatches(/\/tasks\/delete/, READY_MS);
    listener.process.kill("SIGTERM");
    const events = parseEvents((await listener.finished).stdout.toString());
    const tasks = events.filter((event) => event.topic.startsWith("/tasks/") && event.body.container_id === id);
    assert.deepEqual(
      tasks.map((event) => event.topic),
      ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"],
    );
    const [create, start, exit, deleted] = tasks.map((event) => event.body);
    assert.ok(create && start && exit && deleted);
    for (const event of tasks) assert.equal(event.namespace, containerd.namespace);
    assert.match(String(create.bundle), new RegExp(`/${containerd.namespace}/${id}$`));
    assert.match(JSON.stringify(create.io), /fifo/);
    const pid = start.pid;
    assert.ok(Number.isInteger(pid) && Number(pid) > 0, `pid of the start event: ${pid}`);
    assert.equal(exit.id, id);
    assert.equal(exit.pid, pid);
    assert.equal(exit.exit_status, 5);
    assert.equal(deleted.pid, pid);
    assert.equal(deleted.exit_status, 5);
    assertTime(exit.exited_at);
    assert.deepEqual(deleted.exited_at, exit.exited_at);
  } finally {
    listener.process.kill("SIGKILL");
  }
}

/** containerd 1.6 and 1.7 print a timestamp as seconds and nanoseconds, 2.x as text. */
function assertTime(value: unknown): void {
  const milliseconds =
    typeof value === "string"
      ? Date.parse(value)
      : Number((value as { seconds?: unknown } | undefined)?.seconds) * 1000;
  assert.ok(Math.abs(milliseconds - Date.now()) < 120_000, `not a time of this minute: ${JSON.stringify(value)}`);
}

export const eventCases: readonly Case[] = [
  {
    name: "events create, start, exit, delete, in order and with their fields",
    // The runc shim of containerd 2.1 at times ends before its delete event is out.
    applies: ({ containerd, runtime }) => runtime.key === "lcow" || containerd.build.major < 2,
    run: eventsInOrder,
  },
];
