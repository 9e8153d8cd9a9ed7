// One gRPC call of each kind, and its status: grpc_calls.js HOST:PORT
const grpc = require('@grpc/grpc-js');

const bytes = (message) => message;
const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure());
const deadline = () => ({ deadline: Date.now() + 10000 });
const name = (error) => (error ? `${grpc.status[error.code]} ${error.details}` : 'OK');

const unary = (method) =>
  new Promise((resolve) => {
    client.makeUnaryRequest(`/app.App/${method}`, bytes, bytes, Buffer.from('x'), deadline(), (error) =>
      resolve(name(error)));
  });

const stream = () =>
  new Promise((resolve) => {
    const call = client.makeServerStreamRequest('/app.App/Stream', bytes, bytes, Buffer.from('2 0'), deadline());
    call.on('data', () => {});
    call.on('error', (error) => resolve(name(error)));
    call.on('end', () => setImmediate(resolve, 'OK'));
  });

// Only the server's answer ends this one.
const upload = () =>
  new Promise((resolve) => {
    let more;
    const call = client.makeClientStreamRequest('/app.App/Missing', bytes, bytes, deadline(), (error) => {
      clearInterval(more);
      resolve(name(error));
    });
    more = setInterval(() => call.write(Buffer.from('more')), 10);
  });

(async () => {
  console.log('unary', await unary('Fast'));
  console.log('missing', await unary('Missing'));
  console.log('stream', await stream());
  console.log('upload', await upload());
  client.close();
})();
