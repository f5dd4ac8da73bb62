// A certified OpenID provider. Its own development pages let anybody sign in, which is all that is needed here.
import { Provider } from 'oidc-provider';

const port = Number(process.env.PORT);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'bench',
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: process.env.REDIRECT_URIS.split(' '),
    },
  ],
});
provider.listen(port, '127.0.0.1');
