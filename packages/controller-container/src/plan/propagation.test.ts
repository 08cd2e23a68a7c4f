import { describe, expect, it } from "vitest";
import { ContainerBench, overlayMount, specification } from "../testing/index.ts";

async function created(options: readonly string[], showsLater: boolean): Promise<ContainerBench> {
  const bench = new ContainerBench();
  if (showsLater) bench.files.withLaterMounts.add("/data");
  const mounts = [{ destination: "/here", type: "bind", source: "/data", options }];
  return await bench.created([overlayMount], specification({ mounts }));
}

const intoVm = "what the host mounts below /data later does not appear in its share";
const outOfVm = "what the container mounts below /here stays in its VM";

describe("mount propagation", () => {
  it.each([
    [["rbind", "rslave"], true, []],
    [["rbind", "rslave"], false, [`mount /here: rslave has no effect in the container: ${intoVm}`]],
    [["bind", "slave"], false, [`mount /here: slave has no effect in the container: ${intoVm}`]],
    [["rbind", "rshared"], true, [`mount /here: rshared has no effect on the host: ${outOfVm}`]],
    [
      ["rbind", "rshared"],
      false,
      [
        `mount /here: rshared has no effect on the host: ${outOfVm}`,
        `mount /here: rshared has no effect in the container: ${intoVm}`,
      ],
    ],
    [["rbind", "rprivate"], false, []],
    [["rbind"], false, []],
    [["rbind", "rslave", "rprivate"], false, []],
  ])("options %j, where later mounts show: %j", async (options, showsLater, warnings) => {
    const bench = await created(options, showsLater);
    expect(bench.warnings).toEqual(warnings);
    expect(bench.guest.settings[0]?.OciSpecification.mounts?.[0]?.options).toEqual(options);
  });

  it.each([
    [["rbind", "ro", "rslave"], true, false],
    [["rbind", "rro", "rslave"], true, true],
    [["rbind", "ro", "rslave"], false, true],
    [["rbind", "ro", "rprivate"], true, true],
  ])("options %j, where later mounts show: %j: the share is read-only: %j", async (options, showsLater, readOnly) => {
    const bench = await created(options, showsLater);
    expect(bench.shares.requests.map((share) => share.readOnly)).toContain(readOnly);
    expect(bench.shares.requests.find(({ hostPath }) => hostPath === "/data")?.readOnly).toBe(readOnly);
  });
});
