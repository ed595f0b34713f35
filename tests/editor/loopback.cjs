// Loaded before the server: whatever it does, it talks to nobody but this machine.
const net = require("node:net");

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const host = (options && options.host) || (typeof args[1] === "string" ? args[1] : "localhost");
  if (!(options && options.path) && !/^(127\.|::1$|localhost$)/.test(host)) {
    process.stderr.write(`reached for ${host}\n`);
    throw new Error(`reached for ${host}: only loopback is allowed`);
  }
  return connect.apply(this, args);
};
