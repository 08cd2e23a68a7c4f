import { expect, it } from "vitest";
import { answerByHand } from "./by-hand.ts";

it("tells a person who starts the agent, and a guest nothing", () => {
  const sentence =
    /^guest agent: hcs-emulator boots this program as the first process of an emulated Linux guest, .*\.\n$/;
  expect(answerByHand("Linux", [], {})).toEqual({ text: expect.stringMatching(sentence), code: 2 });
  expect(answerByHand("Linux", ["--help"], {})).toEqual({ text: expect.stringMatching(sentence), code: 0 });
  expect(answerByHand("Windows", ["-h"], { UVM_SHIM_GUEST_BOOT: "{}" })).toBeUndefined();
  expect(answerByHand("Linux", [], { UVM_SHIM_VM_GUEST: "1" })).toBeUndefined();
});
