import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ordinaryGuestLayout, policyGuestLayout } from "./guest-layout.ts";

const policy = policyGuestLayout((text) => createHash("sha256").update(text).digest("hex"));
const podId = "a1".repeat(32);
const id = "B2".repeat(32);
const slot = fc.record({ controller: fc.integer({ min: 0, max: 3 }), lun: fc.integer({ min: 0, max: 63 }) });
const partition = fc.integer({ min: 0, max: 0xffff });

describe("the layout of a guest", () => {
  it.each([
    ["ordinary", ordinaryGuestLayout],
    ["policy", policy],
  ])("%s: every slot and partition has a path of its own", (_, layout) => {
    const mount = fc.record({ slot, partition, readOnly: fc.boolean() });
    fc.assert(
      fc.property(fc.uniqueArray(mount, { selector: (one) => JSON.stringify([one.slot, one.partition]) }), (mounts) => {
        const paths = mounts.map(({ slot, ...mount }) => layout.diskPath(slot, mount));
        expect(new Set(paths).size).toBe(paths.length);
      }),
    );
  });

  it("with a policy: read-only disks and block devices are numbered, and writable ones have paths of containers", () => {
    fc.assert(
      fc.property(slot, partition, (slot, partition) => {
        const numbered = /^\/run\/mounts\/scsi\/m[0-9]+$/;
        expect(policy.diskPath(slot, { partition, readOnly: true })).toMatch(numbered);
        expect(policy.diskPath(slot, { partition, readOnly: false, blockDevice: true })).toMatch(numbered);
        expect(policy.diskPath(slot, { partition, readOnly: false })).toMatch(/^\/run\/gcs\/c\/[0-9a-f]{64}$/);
      }),
    );
    expect(policy.diskPath({ controller: 1, lun: 2 }, { partition: 0, readOnly: true })).toBe("/run/mounts/scsi/m66");
  });

  it("with a policy: everything of a container is in its folder", () => {
    const places = policy.placesOf({ id, podId });
    expect(places).toMatchObject({ id, podId, bundle: `/run/gcs/c/${id}` });
    expect(places.own).toMatchObject({
      scratchDisk: `/run/gcs/c/${id}`,
      scratch: `/run/gcs/c/${id}/scratch/${id}`,
      root: `/run/gcs/c/${id}/rootfs`,
    });
    expect(places.own?.share?.(3)).toBe(`/run/gcs/c/${id}/mounts/m3`);
    expect(places.scratchOn(`/run/gcs/c/${podId}`)).toBe(`/run/gcs/c/${podId}/scratch/${id}`);
  });

  it.each([
    ["the framework's", "package policy\nplan9_mount := data.framework.plan9_mount", true],
    ["one with a condition", 'plan9_mount := {"allowed": true} if { input.target == "/x" }', true],
    ["none", 'package policy\n# plan9_mount := {"allowed": true}', true],
    ["one that allows every share", 'package policy\nplan9_mount := {"allowed": true}\nmount_overlay := 1', false],
    ["everything", ' {"allow_all": true}\n', false],
  ])("with a policy: shares are in the container's folder if their rule is %s: %j", (_, text, inFolder) => {
    const { own } = policyGuestLayout((text) => text, text).placesOf({ id, podId });
    expect(own?.share !== undefined).toBe(inFolder);
  });

  it("with a policy of megabytes: it is read quickly", () => {
    const text = `${"\n".repeat(1_000_000)}x`;
    expect(policyGuestLayout((id) => id, text).placesOf({ id, podId }).own?.share).toBeDefined();
  });

  it("with a policy: ids that the guest would refuse get derived names", () => {
    const names = ["c1", "c2", `${id}0`, "", id.replace("B", "g")].map((id) => policy.placesOf({ id, podId: "p" }).id);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(names).size).toBe(names.length);
    expect(policy.placesOf({ id: "c1", podId: "p" })).toMatchObject({
      id: policy.placesOf({ id: "c1", podId: "other" }).id,
      podId: policy.placesOf({ id: "p", podId: "p" }).id,
    });
  });

  it("without a policy: a container has a folder below its pod's, and no paths of its own", () => {
    const places = ordinaryGuestLayout.placesOf({ id: "c1", podId: "p1" });
    expect(places).toMatchObject({ id: "c1", podId: "p1", bundle: "/run/gcs/pods/p1/c1" });
    expect(places.own).toBeUndefined();
    expect(places.scratchOn("/run/mounts/scsi/0/1/0")).toBe("/run/mounts/scsi/0/1/0/scratch/p1/c1");
  });
});
