import { expect, it, vi } from "vitest";
import { withBoundedLookups } from "./host-files.ts";

it("a path whose file system does not answer is refused within a bound, while others are answered", async () => {
  const far = new Promise<never>(() => {});
  const removeFile = vi.fn(async () => {});
  const files = withBoundedLookups(
    {
      kind: (path: string): Promise<string> => (path === "/far" ? far : Promise.resolve("file")),
      realPath: (path: string): Promise<string> => (path === "/far/link" ? far : Promise.resolve(path)),
      blockDevice: (_: number, path: string): Promise<string> => (path === "/far/disk" ? far : Promise.resolve(path)),
      removeFile,
    },
    { now: () => new Date(0), delay: async () => {} },
  );
  for (const asked of [files.kind("/far"), files.realPath("/far/link"), files.blockDevice(7, "/far/disk")]) {
    await expect(asked).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(/^\/far.*: its file system did not answer within 5000 ms$/),
    });
  }
  const patient = withBoundedLookups(
    {
      kind: async (_path: string) => "file",
      realPath: async (path: string) => path,
      blockDevice: async (_: number, path: string) => path,
    },
    {
      now: () => new Date(0),
      delay: () => far,
    },
  );
  expect([await patient.kind("/near"), await patient.realPath("/near")]).toEqual(["file", "/near"]);
  await files.removeFile();
  expect(removeFile).toHaveBeenCalledOnce();
});
