/** Requests in any combination: each is planned or refused, and says which. */
import { checkHostedSystem } from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import fc from "fast-check";
import { expect, it } from "vitest";
import { windowsContainerAnnotationKeys } from "../specification/annotations.ts";
import { PlanBench, resolved, type SpecificationParts, windowsSpecification } from "../testing/planning.ts";

const words = [
  "",
  "1",
  "true",
  "C:\\data",
  "C:\\drivers",
  "mini",
  "\\\\.\\pipe\\a",
  "sandbox://a",
  "uvm://x",
  "[]",
  "vpci",
];

const anything = fc.oneof(
  fc.constantFrom(null, 0, 1, -1, 1.5, 2 ** 60, 2n ** 64n, true, [], {}, ...words),
  fc.string(),
  fc.array(fc.constantFrom(...words)),
);

const rightParts: SpecificationParts = {
  hostname: "web",
  root: { path: "" },
  mounts: [
    { source: "C:\\data", destination: "C:\\in", options: ["ro"] },
    { source: "\\\\.\\pipe\\a", destination: "\\\\.\\pipe\\b" },
    { source: "C:\\data\\disk.vhdx", destination: "C:\\disk", type: "virtual-disk" },
  ],
  windows: {
    devices: [{ id: "PCIP\\A/1", idType: "vpci" }],
    resources: { cpu: { count: 1 }, memory: { limit: 2 ** 30 }, storage: { iops: 5, bps: 6 } },
    credentialSpec: "{}",
    network: { networkNamespace: "11111111-2222-4333-8444-555555555555", DNSSearchList: ["a", "b"] },
  },
};

/** Every place in a value. */
function placesIn(value: unknown, place: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [place];
  return [place, ...Object.entries(value).flatMap(([name, member]) => placesIn(member, [...place, name]))];
}

function withValueAt(value: unknown, [step, ...rest]: readonly string[], changed: unknown): unknown {
  if (step === undefined) return changed;
  const copy = structuredClone(value) as { [name: string]: unknown };
  copy[step] = withValueAt(copy[step], rest, changed);
  return copy;
}

async function planned(spec: unknown): Promise<unknown> {
  try {
    const plan = await new PlanBench().planOf({ spec, rootfs: [] });
    const document = plan.document(resolved(plan));
    return "Container" in document ? checkHostedSystem(document) : document;
  } catch (error) {
    if (error instanceof ControllerError) return error.code;
    throw error;
  }
}

it("any value in any place of a specification", async () => {
  const right = windowsSpecification(rightParts);
  expect(await planned(right)).toMatchObject({ Container: { GuestOs: { HostName: "web" } } });
  const change = fc.tuple(fc.constantFrom(...placesIn(right)), anything);
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      let spec: unknown = right;
      for (const [place, value] of changes) {
        const isThere = place.slice(0, -1).reduce<unknown>((at, step) => (at as Record<string, unknown>)?.[step], spec);
        if (typeof isThere === "object" && isThere !== null) spec = withValueAt(spec, place, value);
      }
      expect(await planned(spec)).toBeDefined();
    }),
    { numRuns: 500 },
  );
});

it("any value of any annotation", async () => {
  const annotation = fc.tuple(
    fc.constantFrom(...windowsContainerAnnotationKeys),
    fc.oneof(fc.constantFrom(...words), fc.string()),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(annotation, { maxLength: 5 }), async (annotations) => {
      const parts = { ...rightParts, annotations: Object.fromEntries(annotations) };
      expect(await planned(windowsSpecification(parts))).toBeDefined();
    }),
    { numRuns: 300 },
  );
});
