export { type Message, messages } from "./message.ts";
