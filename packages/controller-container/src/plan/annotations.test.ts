import { isMistyped } from "@uvm-shim/hcs-schema";
import { refusing } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";
import { containerAnnotationKeys, readAnnotations } from "./annotations.ts";

const lcow = "io.microsoft.virtualmachine.lcow.";
const container = "io.microsoft.container.";
const type = "io.kubernetes.cri.container-type";
const sandboxId = "io.kubernetes.cri.sandbox-id";
const privileged = `${lcow}privileged`;
const skipNetwork = "io.microsoft.cri.skip-pod-networking";
const shm = "io.microsoft.lcow.shm.size-kb";
const core = "io.microsoft.lcow.rlimitcore";
const tee = `${container}lcow.tee-log-path`;
const most = "18446744073709551615";
const more = "18446744073709551616";
const words = "one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";

function read(given: { readonly [key: string]: string }) {
  const warnings: string[] = [];
  const refuse = refusing("create container", "c1");
  return { ...readAnnotations(given, "p1", refuse, (sentence) => warnings.push(sentence)), warnings };
}

const nothing = { type: undefined, isPrivileged: false, gpuVhdPath: undefined, forGuest: {}, warnings: [] };

/** A value, and the options that are read from it; or, as a string, what the error says is expected. */
type Row = readonly [text: string, expected: Partial<ReturnType<typeof read>> | string];

interface Rows {
  readonly valid: readonly Row[];
  readonly boundary: readonly Row[];
  readonly invalid: readonly Row[];
}

const crosses = (key: string, value: string): Row => [value, { forGuest: { [key]: value } }];
const isIgnored = (key: string): Rows => {
  const warnings = [`annotation ${key} has no effect on Linux containers`];
  return { valid: [["1", { warnings }]], boundary: [["", { warnings }]], invalid: [["many", { warnings }]] };
};
const isUnsupported: Rows = { valid: [["", {}]], boundary: [[" ", "nothing"]], invalid: [["id", "nothing"]] };

/** What each annotation does. */
const rows: { readonly [key: string]: Rows } = {
  [type]: {
    valid: [
      ["container", { type: "container", forGuest: { [type]: "container", [sandboxId]: "p1" } }],
      ["sandbox", { type: "sandbox", forGuest: { [type]: "sandbox", [sandboxId]: "p1" } }],
    ],
    boundary: [["", "sandbox or container"]],
    invalid: [
      ["pod", "sandbox or container"],
      ["Sandbox", "sandbox or container"],
    ],
  },
  // It is replaced by the pod's own id, and crosses only with a type.
  [sandboxId]: { valid: [["p1", {}]], boundary: [["", {}]], invalid: [["x", {}]] },
  [privileged]: {
    valid: [
      ["true", { isPrivileged: true, forGuest: { [privileged]: "true" } }],
      ["0", {}],
    ],
    // In the one form that every guest reads.
    boundary: [
      ["T", { isPrivileged: true, forGuest: { [privileged]: "true" } }],
      ["", words],
      ["tRUE", words],
    ],
    invalid: [["yes", words]],
  },
  [`${lcow}hostnetwork`]: {
    valid: [
      ["1", { forGuest: { [`${lcow}hostnetwork`]: "true" } }],
      ["false", {}],
    ],
    boundary: [["", words]],
    invalid: [["host", words]],
  },
  [skipNetwork]: {
    valid: [
      ["true", { forGuest: { [skipNetwork]: "true" } }],
      ["false", {}],
    ],
    // The guest itself accepts no other form.
    boundary: [
      ["1", { forGuest: { [skipNetwork]: "true" } }],
      ["", words],
      ["tRUE", words],
    ],
    invalid: [["yes", words]],
  },
  "io.microsoft.virtualmachine.wcow.amd-certificate": {
    valid: [crosses("io.microsoft.virtualmachine.wcow.amd-certificate", "LS0tLS1CRUdJTi==")],
    boundary: [crosses("io.microsoft.virtualmachine.wcow.amd-certificate", "QQ==\n"), ["", "certificates in base64"]],
    invalid: [["-----BEGIN CERTIFICATE-----", "certificates in base64"]],
  },
  [`${lcow}securitypolicy.env`]: {
    valid: [
      ["F", { forGuest: { [`${lcow}securitypolicy.env`]: "false" } }],
      ["true", {}],
    ],
    boundary: [["", words]],
    invalid: [["no", words]],
  },
  [shm]: {
    valid: [crosses(shm, "65536")],
    boundary: [
      crosses(shm, "1"),
      crosses(shm, most),
      ["0", "a positive number of KiB"],
      [more, "a positive number of KiB"],
    ],
    invalid: [
      ["64m", "a positive number of KiB"],
      ["-1", "a positive number of KiB"],
      ["", "a positive number of KiB"],
    ],
  },
  [core]: {
    valid: [crosses(core, "1;2")],
    boundary: [
      crosses(core, "0;0"),
      crosses(core, `0;${most}`),
      [`0;${more}`, "<soft>;<hard> in bytes, with soft"],
      ["2;1", "with soft not above hard"],
    ],
    invalid: ["1", "1;2;3", "-1;1", ";", ""].map((text): Row => [text, "<soft>;<hard> in bytes, with soft"]),
  },
  [tee]: {
    valid: [crosses(tee, "app/a.log")],
    boundary: [crosses(tee, "a"), crosses(tee, "..a"), ["", 'a relative path without ".."']],
    invalid: ["../x", "a/../b", "/a", "a\0"].map((text): Row => [text, 'a relative path without ".."']),
  },
  [`${container}lcow.tee-log-dir-mount`]: {
    valid: [crosses(`${container}lcow.tee-log-dir-mount`, "/logs")],
    boundary: [crosses(`${container}lcow.tee-log-dir-mount`, "/"), ["", "an absolute path"]],
    invalid: [["logs", "an absolute path"]],
  },
  [`${container}gpu.capabilities`]: {
    valid: [crosses(`${container}gpu.capabilities`, "utility,compute")],
    boundary: [crosses(`${container}gpu.capabilities`, "utility"), ["", "words separated by commas"]],
    invalid: ["utility,", "a b", "--pid=1", "UTILITY"].map((text): Row => [text, "words separated by commas"]),
  },
  "io.microsoft.lcow.gpuvhdpath": {
    valid: [["/gpu.vhd", { gpuVhdPath: "/gpu.vhd" }]],
    boundary: [["", {}]],
    invalid: [["gpu.vhd", "an absolute path of the host"]],
  },
  "io.microsoft.cri.virtual-pod-id": isUnsupported,
  "io.microsoft.migration.source-container-id": isUnsupported,
  "io.microsoft.network.ncproxy.containerid": isUnsupported,
  ...Object.fromEntries(
    [
      ...["memory.sizeinmb", "processor.count", "processor.limit", "processor.weight"],
      ...["storage.qos.bandwidthmaximum", "storage.qos.iopsmaximum"],
    ].map((name) => [`${container}${name}`, isIgnored(`${container}${name}`)]),
  ),
};

describe("annotations of containers", () => {
  it("are all in the table, each with valid, boundary and invalid values", () => {
    expect(Object.keys(rows).toSorted()).toEqual(containerAnnotationKeys.toSorted());
    for (const [key, { valid, boundary, invalid }] of Object.entries(rows)) {
      expect(
        [valid, boundary, invalid].every(({ length }) => length > 0),
        key,
      ).toBe(true);
    }
  });

  it("ask for nothing by default, and are ignored when unknown", () => {
    expect(read({})).toEqual(nothing);
    const others = { "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "9", "com.example": "secret" };
    expect(read(others)).toEqual(nothing);
  });

  describe.each(Object.entries(rows))("%s", (key, { valid, boundary, invalid }) => {
    it.each([...valid, ...boundary, ...invalid])("%j", (text, expected) => {
      if (typeof expected === "object") {
        expect(read({ [key]: text })).toEqual({ ...nothing, ...expected });
        return;
      }
      const code = expected === "nothing" ? "Unimplemented" : "InvalidArgument";
      expect(() => read({ [key]: text })).toThrow(expect.objectContaining({ code }));
      expect(() => read({ [key]: text })).toThrow(
        `create container c1: annotation ${key} is ${isMistyped(text) ? JSON.stringify(text) : `a text of ${text.length} characters`}, expected `,
      );
      expect(() => read({ [key]: text })).toThrow(expected);
    });
  });
});

describe("a container's annotations", () => {
  it("are read in linear time, however long", () => {
    const key = "io.microsoft.virtualmachine.wcow.amd-certificate";
    expect(() => read({ [key]: `a${" ".repeat(1_000_000)}!` })).toThrow("expected certificates in base64");
  });

  it("cross with its specification, with warnings", async () => {
    const annotations = { [shm]: "64", [`${container}processor.count`]: "2", "com.example": "secret" };
    const bench = await new ContainerBench().created([overlayMount], specification({ annotations }));
    expect(bench.guest.settings[0]?.OciSpecification.annotations).toEqual({ [shm]: "64" });
    expect(bench.warnings).toEqual([
      `annotation ${container}processor.count has no effect on Linux containers`,
      // Of a standalone container.
      `annotation ${shm} has no effect: the guest supports it only for containers of a pod`,
    ]);
  });

  it("take precedence over the defaults for all workload containers", async () => {
    const defaultAnnotations = { [shm]: "64", [core]: "0;0" };
    const crossed = async (annotations: { readonly [key: string]: string }) => {
      const bench = new ContainerBench(undefined, { defaultAnnotations });
      await bench.created([overlayMount], specification({ annotations }));
      return bench.guest.settings[0]?.OciSpecification.annotations;
    };
    expect(await crossed({})).toEqual(defaultAnnotations);
    expect(await crossed({ [shm]: "1" })).toEqual({ [shm]: "1", [core]: "0;0" });
    const workload = { [type]: "container", [sandboxId]: "p1" };
    expect(await crossed(workload)).toEqual({ ...defaultAnnotations, ...workload });
    const sandbox = { [type]: "sandbox", [sandboxId]: "p1" };
    expect(await crossed(sandbox)).toEqual(sandbox);
  });

  it("leave nothing behind when one is invalid", async () => {
    const bench = new ContainerBench();
    const request = { spec: specification({ annotations: { [shm]: "0" } }), rootfs: [overlayMount], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({ code: "InvalidArgument" });
    expect(bench.leftovers).toEqual([]);
  });
});
