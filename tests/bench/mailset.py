"""tests/bench/mailset.py - mail to measure with: the corpora's real mail as Maildirs, and generated mail with its word statistics

A copy of the corpora beyond the first has other Message-IDs (also in References and In-Reply-To), for peers that drop doubles; all
else is the same. Generated mail is made of runs of words out of the corpora's text at random places, so that single words and
short phrases are as frequent as there; words that occur there once become new words, so that the vocabulary grows with the mail as
it does in real mail. The length in words, the subject and the sender are drawn from the real ones. One seed, one result."""
import email, email.header, os, random, re, string
import mm

IDS = re.compile(rb'^(message-id|references|in-reply-to)[ \t]*:.*?(?=^[^ \t])', re.I | re.M | re.S)
NEW_WORD = '\x01'

class MailSet:
    def __init__(self, root, sample=1):
        self.root = root
        self.messages = []
        order = [] # the lists flow together evenly, each in its own order: as mail comes, threads near each other
        for at, _, names in sorted(os.walk(os.path.join(mm.corpus(root), 'bulk'))):
            order += [((i + 0.5) / len(names), os.path.join(at, name)) for i, name in enumerate(sorted(names))]
        for _, path in sorted(order)[::sample]:
            data = open(path, 'rb').read()
            self.messages.append(data.split(b'\n', 1)[1] if data.startswith(b'From ') else data)
        self.count, self.bytes = len(self.messages), sum(map(len, self.messages))

    def copy(self, into, number, limit=None):
        """Copy `number` as a Maildir below the folder `into` (hard links where there is one below mail/); its path."""
        out = os.path.join(self.root, into, 'c%03d' % number + ('-%d' % limit if limit else ''))
        if os.path.exists(out):
            return out
        for d in ('cur', 'new', 'tmp'):
            os.makedirs(os.path.join(out, d))
        there = self.copy('mail', number) if into != 'mail' and not limit else None
        for i, data in enumerate(self.messages[:limit]):
            name = 'cur/%06d:2,S' % i
            if there:
                os.link(os.path.join(there, name), os.path.join(out, name))
                continue
            with open(os.path.join(out, name), 'wb') as f:
                f.write(data if number == 0 else other_ids(data, number))
        return out

    def list_file(self, maildir):
        """A file with the paths of a Maildir's messages, for smtp_load."""
        path = maildir + '.list'
        with open(path, 'w') as f:
            for name in sorted(os.listdir(maildir + '/cur')):
                f.write('%s/cur/%s\n' % (maildir, name))
        return path

def other_ids(data, number):
    end = re.search(rb'\r?\n\r?\n', data)
    end = end.end() if end else len(data)
    mark = b'<c%d.' % number
    return IDS.sub(lambda m: m.group(0).replace(b'<', mark), data[:end]) + data[end:]

def text_of(message):
    """The words of the text parts, at most 20,000."""
    words = []
    for part in message.walk():
        if part.get_content_maintype() != 'text' or part.get_filename():
            continue
        body = part.get_payload(decode=True) or b''
        try:
            body = body.decode(part.get_content_charset() or 'utf-8', 'replace')
        except LookupError:
            body = body.decode('latin-1')
        words += re.sub(r'<[^>]{0,1000}>', ' ', body).split()
    return words[:20000]

def decoded(value):
    try:
        return str(email.header.make_header(email.header.decode_header(str(value))))
    except (ValueError, LookupError, UnicodeError):
        return str(value)

class Generator:
    def __init__(self, mails, seed=1):
        self.rng = random.Random(seed)
        self.words, self.lengths, self.subjects, self.senders = [], [], [], []
        for data in mails.messages:
            m = email.message_from_bytes(data)
            words = text_of(m)
            self.lengths.append(len(words))
            self.words += words
            self.subjects.append(re.sub(r'\s+', ' ', decoded(m.get('subject', '')))[:200])
            self.senders.append(re.sub(r'[^!-~]+', ' ', decoded(m.get('from', '')))[:100].strip() or 'a@b.example')
        times = {}
        for w in self.words:
            times[w] = times.get(w, 0) + 1
        self.vocabulary = len(times)
        self.words = [w if times[w] > 1 else NEW_WORD for w in self.words]
        self.fresh = self.words.count(NEW_WORD) / max(1, len(self.words))

    def new_word(self, _):
        return ''.join(self.rng.choices(string.ascii_lowercase, k=self.rng.randint(6, 12)))

    def message(self, number):
        rng, left, lines = self.rng, self.rng.choice(self.lengths), []
        while left > 0:
            n = min(left, rng.randint(6, 16))
            at = rng.randrange(len(self.words) - n)
            lines.append(' '.join(self.words[at:at + n]))
            left -= n
        body = '\n'.join(lines)
        if NEW_WORD in body:
            body = re.sub(NEW_WORD, self.new_word, body)
        return ('From: %s\nTo: team@corp.example\nSubject: %s\nDate: Mon, 02 Mar 2026 09:15:00 +0100\n'
                'Message-ID: <%d.g@load.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n'
                'Content-Transfer-Encoding: 8bit\n\n%s\n'
                % (rng.choice(self.senders), rng.choice(self.subjects), number, body)).encode('utf-8', 'replace')

    def mbox(self, path, first, count):
        """Writes `count` messages from number `first` on; their bytes."""
        size = 0
        with open(path, 'wb') as f:
            for n in range(first, first + count):
                m = self.message(n)
                size += len(m)
                f.write(b'From load@load.example Mon Mar  2 09:15:00 2026\n')
                f.write(m.replace(b'\nFrom ', b'\n>From ') + b'\n')
        return size
