/** Run under Wine: a whole pod behind the shim's executable. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Pod } from "../shim-client/pod.ts";
import { createContainer, podOptions } from "./windows-pod.ts";

describe("a pod", () => {
  let pod: Pod;

  beforeAll(async () => {
    pod = await Pod.run(podOptions("pod"));
  });
  afterAll(() => pod?.abandon());

  it("runs a container of layers", async () => {
    const container = await createContainer(pod, { id: "one", args: ["sh", "-c", "echo hello; exit 3"] });
    await container.start();
    const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
    expect({ status, stdout: output.stdout.toString() }).toEqual({ status: 3, stdout: "hello\n" });
    expect(await container.delete()).toBe(3);
  });
});
