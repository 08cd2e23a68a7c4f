import { expect, it } from "vitest";
import { targetOf } from "./verified-disks.ts";

it("has the table of a device with a hash tree behind its file system", () => {
  const tree = {
    rootDigest: "aa",
    salt: "5a5a",
    algorithm: "sha256",
    version: 1,
    size: 4096 * 10,
    dataBlock: 4096,
    hashBlock: 4096,
  };
  expect(targetOf("/dev/sdb", tree)).toEqual({
    type: "verity",
    sectors: 80,
    parameters: "1 /dev/sdb /dev/sdb 4096 4096 10 11 sha256 aa 5a5a",
  });
  expect(targetOf("/dev/sdb", { ...tree, salt: "" }).parameters).toMatch(/ aa -$/);
});
