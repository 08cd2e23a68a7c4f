import { afterEach, describe, expect, it } from "vitest";
import { defineTable, Lifecycle } from "../table.ts";
import {
  addObserver,
  currentObservation,
  currentTraceContext,
  ObservationScope,
  type Observer,
  observe,
  reportOccurrence,
} from "./observation.ts";

const removals: (() => void)[] = [];

function watch(observer: Observer): void {
  removals.push(addObserver(observer));
}

/** Everything observed, as short lines. */
function watchLines(): string[] {
  const lines: string[] = [];
  watch({
    began: ({ kind, name, parent, activityId }) =>
      void lines.push(`began ${kind} ${name} in ${parent?.name} (${activityId})`),
    ended: ({ name }, error) => void lines.push(`ended ${name}: ${error instanceof Error ? error.message : "ok"}`),
    stateChanged: ({ subject, id, operation, from, to, outcome }, within) =>
      void lines.push(`${subject} ${id}: ${from} → ${to} by ${operation} (${outcome}) in ${within?.name}`),
    occurred: ({ name, attributes }, within) =>
      void lines.push(`occurred ${name} ${JSON.stringify(attributes)} in ${within?.name}`),
  });
  return lines;
}

afterEach(() => {
  for (const remove of removals.splice(0)) remove();
});

const door = defineTable({
  subject: "door",
  initial: "Open",
  states: ["Open", "Closed", "Broken"],
  transitions: [
    { kind: "operation", name: "close", from: ["Open"], success: "Closed", failure: "Broken" },
    { kind: "event", name: "gust", from: ["Closed"], to: "Open" },
  ],
});

describe("observe", () => {
  it("tells of work inside of work, with the activity id of the outermost", async () => {
    const lines = watchLines();
    const answer = await observe({ kind: "request", name: "Create", activityId: "a" }, () =>
      observe({ kind: "host-call", name: "start" }, async () => {
        reportOccurrence("dialled", { port: 1 });
        return 7;
      }),
    );
    expect(answer).toBe(7);
    expect(lines).toEqual([
      "began request Create in undefined (a)",
      "began host-call start in Create (a)",
      'occurred dialled {"port":1} in start',
      "ended start: ok",
      "ended Create: ok",
    ]);
  });

  it("passes a failure on and tells of it", async () => {
    const lines = watchLines();
    const failing = observe({ kind: "phase", name: "boot" }, async () => {
      throw new Error("no kernel");
    });
    await expect(failing).rejects.toThrow("no kernel");
    expect(lines.at(-1)).toBe("ended boot: no kernel");
  });

  it("keeps concurrent work apart", async () => {
    watchLines();
    const names = await Promise.all(
      ["a", "b"].map((name) =>
        observe({ kind: "phase", name }, async () => {
          await Promise.resolve();
          return currentObservation()?.name;
        }),
      ),
    );
    expect(names).toEqual(["a", "b"]);
  });

  it("only runs the work while nobody observes", async () => {
    expect(await observe({ kind: "phase", name: "boot" }, async () => currentObservation())).toBeUndefined();
  });

  it("does not let an observer that throws change the outcome, nor hide anything from the next one", async () => {
    watch({
      began: () => {
        throw new Error("faulty observer");
      },
    });
    const lines = watchLines();
    expect(await observe({ kind: "phase", name: "boot" }, async () => 1)).toBe(1);
    expect(lines).toHaveLength(2);
  });

  it("tells nothing to an observer that was removed", async () => {
    const lines = watchLines();
    removals.pop()?.();
    await observe({ kind: "phase", name: "boot" }, async () => {});
    expect(lines).toEqual([]);
  });
});

describe("a scope", () => {
  /** The names that an observer of the scope, or of the process, has heard. */
  function listen(scope?: ObservationScope): string[] {
    const names: string[] = [];
    const observer: Observer = {
      began: ({ name }) => void names.push(name),
      stateChanged: ({ id }) => void names.push(id),
      occurred: ({ name }) => void names.push(name),
    };
    if (scope === undefined) watch(observer);
    else scope.run(() => watch(observer));
    return names;
  }

  it("is told of its own work, and the process of all", async () => {
    const [one, other] = [new ObservationScope(), new ObservationScope()];
    const [heardByOne, heardByOther, heardByAll] = [listen(one), listen(other), listen()];
    await one.run(() =>
      observe({ kind: "phase", name: "boot" }, async () => {
        await Promise.resolve();
        reportOccurrence("dialled");
      }),
    );
    other.run(() => {
      new Lifecycle(door, "front", { kind: "Open" as (typeof door.states)[number] }).succeed("close", {
        kind: "Closed",
      });
    });
    reportOccurrence("outside");
    expect({ heardByOne, heardByOther }).toEqual({ heardByOne: ["boot", "dialled"], heardByOther: ["front"] });
    expect(heardByAll).toEqual(["boot", "dialled", "front", "outside"]);
  });

  it("keeps work apart from the work around it", async () => {
    const scope = new ObservationScope();
    listen(scope);
    listen();
    const parent = await observe({ kind: "request", name: "Create", activityId: "a" }, () =>
      scope.run(() => observe({ kind: "phase", name: "boot" }, async () => currentObservation()?.parent)),
    );
    expect(parent).toBeUndefined();
  });

  it("tells nobody once its observers are removed", () => {
    const scope = new ObservationScope();
    const names = listen(scope);
    removals.pop()?.();
    scope.run(() => reportOccurrence("dialled"));
    expect(names).toEqual([]);
  });
});

describe("the trace of the work under way", () => {
  const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  it("is what the first observer that keeps one says", async () => {
    watch({});
    watch({ traceContextOf: ({ name }) => (name === "boot" ? { traceParent } : undefined) });
    expect(await observe({ kind: "phase", name: "boot" }, async () => currentTraceContext())).toEqual({ traceParent });
    expect(await observe({ kind: "phase", name: "other" }, async () => currentTraceContext())).toBeUndefined();
    expect(currentTraceContext()).toBeUndefined();
  });

  it("reaches observers as it came with the request", async () => {
    const seen: (string | undefined)[] = [];
    watch({ began: (observation) => void seen.push(observation.traceParent, observation.traceState) });
    await observe({ kind: "request", name: "Create", traceParent, traceState: "vendor=1" }, async () => {});
    expect(seen).toEqual([traceParent, "vendor=1"]);
  });
});

describe("changes of state", () => {
  it("are told with their cause: success, failure or event", () => {
    const lines = watchLines();
    const front = new Lifecycle(door, "front", { kind: "Open" as (typeof door.states)[number] });
    front.succeed("close", { kind: "Closed" });
    front.happen("gust", { kind: "Open" });
    front.fail("close", { kind: "Broken" });
    expect(lines).toEqual([
      "door front: Open → Closed by close (success) in undefined",
      "door front: Closed → Open by gust (event) in undefined",
      "door front: Open → Broken by close (failure) in undefined",
    ]);
  });
});
