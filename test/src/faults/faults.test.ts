import { afterAll, describe, expect, it } from "vitest";
import { type FaultKind, problemsOf, runScenario, type ScenarioResult, summary } from "./harness.ts";
import type { CaseContext, Play } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";

describe.each<[string, FaultKind, (result: ScenarioResult) => number]>([
  ["every single failure of host and guest", "any call", ({ calls }) => 4 * calls],
  ["every guest that never answers a request", "silent guest", ({ guestRequests }) => 2 * guestRequests],
])("%s", (_what, kind, points) => {
  const results: ScenarioResult[] = [];
  afterAll(() => {
    process.stdout.write(`\n${summary(results)}\n\n`);
  });

  it.each(scenarios.map((scenario) => [scenario.controller, scenario.name, scenario] as const))(
    "leaves nothing behind: %s, %s",
    async (_controller, _name, scenario) => {
      const result = await runScenario(scenario, [kind]);
      results.push(result);
      expect(problemsOf([result])).toEqual([]);
      expect(result.calls).toBeGreaterThan(0);
      expect(result.runs).toHaveLength(1 + points(result));
    },
  );
});

it("knows what each controller asks of its guest", async () => {
  const asked = new Map<string, number>();
  for (const scenario of scenarios) {
    const { guestRequests } = await runScenario(scenario, []);
    asked.set(scenario.controller, (asked.get(scenario.controller) ?? 0) + guestRequests);
  }
  // Shares and pipes of a Windows guest are the host's alone, and a sandboxer's pods ask their guests themselves.
  expect([...asked].filter(([, requests]) => requests === 0)).toEqual([
    ["controller-vsmb", 0],
    ["sandboxer", 0],
  ]);
});

describe("the harness", () => {
  /** Attaches one thing and detaches it, correctly unless the options say otherwise. */
  const runPlay = async (changes: (context: CaseContext, attached: Set<string>) => Partial<Play>) => {
    const begin = (context: CaseContext): Play => {
      const { script, callers } = context;
      const attached = new Set<string>();
      const detach = (signal?: AbortSignal) => script.run("detach", "", signal, () => void attached.delete("disk"));
      return {
        act: async () => {
          await callers.attempt(async (signal) => {
            await script.run("attach", "", signal, () => void attached.add("disk"));
            await detach(signal);
          });
        },
        cleanUp: async () => {
          if (attached.size > 0) await detach();
        },
        leftovers: () => [...attached],
        ...changes(context, attached),
      };
    };
    const result = await runScenario({ controller: "harness", name: "one disk", begin });
    return { result, problems: problemsOf([result]) };
  };

  it("runs four faults at each call, and finds nothing where all is given back", async () => {
    const { result, problems } = await runPlay(() => ({}));
    expect(result.calls).toBe(2);
    expect(result.runs.map(({ fault }) => fault && `${fault.fault} ${fault.call}`)).toEqual([
      undefined,
      ...["fail 0", "lose 0", "hang 0", "hangDone 0", "fail 1", "lose 1", "hang 1", "hangDone 1"],
    ]);
    expect(problems).toEqual([]);
    expect(summary([result])).toMatch(/^harness +1 +2 +8 +0$/m);
  });

  it("finds what a clean-up forgets", async () => {
    const { problems } = await runPlay(() => ({ cleanUp: async () => {} }));
    expect(problems).toEqual([
      "harness, one disk, lose at call 0 (attach): left over: disk",
      "harness, one disk, hangDone at call 0 (attach): left over: disk",
      "harness, one disk, fail at call 1 (detach): left over: disk",
      "harness, one disk, hang at call 1 (detach): left over: disk",
    ]);
  });

  it("finds a request of a guest that waits without a bound, and gives the others one", async () => {
    const begin = ({ script, callers }: CaseContext): Play => ({
      act: async () =>
        void (await callers.attempt((signal) => script.run("waitForDevice", "d", signal, () => undefined))),
      cleanUp: async () => {},
      leftovers: () => [],
    });
    const scenario = { controller: "controller-vpci", name: "one device", begin };
    const bounded = await runScenario(scenario, ["silent guest"]);
    expect(bounded.runs.map(({ fault }) => fault?.fault)).toEqual([undefined, "silent", "silentDone"]);
    expect(problemsOf([bounded])).toEqual([]);
    const unbounded = await runScenario({ ...scenario, hasBounds: true }, ["silent guest"]);
    expect(problemsOf([unbounded])).toEqual(
      ["silent", "silentDone"].flatMap((fault) => [
        `controller-vpci, one device, ${fault} at call 0 (waitForDevice d): the scenario is left pending`,
      ]),
    );
  });

  it("finds what waits for ever", async () => {
    const { problems } = await runPlay(({ clock }) => ({
      act: () => new Promise(() => {}),
      cleanUp: async () => void clock.delay(1_000, new AbortController().signal),
    }));
    expect(problems).toContain("harness, one disk, no fault: the scenario is left pending");
    expect(problems).toContain("harness, one disk, no fault: 1 wait for time to pass");
    expect(problems).toContain("harness, one disk, no fault: no call reached host or guest");
  });

  it("finds operations that fail without a reason, and a clean-up that never succeeds", async () => {
    const { problems } = await runPlay(({ callers }) => ({
      act: async () => void (await callers.attempt(() => Promise.reject(new Error("no reason")))),
      cleanUp: () => Promise.reject(new Error("stuck")),
    }));
    expect(problems).toContain("harness, one disk, no fault: failed without a fault: Error: no reason");
    expect(problems).toContain("harness, one disk, no fault: the clean-up fails again and again: Error: stuck");
  });
});
